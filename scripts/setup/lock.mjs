/** One set-up at a time in one checkout: two at once would tear each other's packages away. */
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root, say, SetupError } from './steps.mjs'

const folder = join(root, '.setup')
const path = join(folder, 'lock')
/** Between two looks at a lock that another holds. */
const lookMs = 250
/** Longer than the slowest set-up seen, several times over. */
const limitMs = 30 * 60_000

/**
 * @template T
 * @param {() => Promise<T>} work
 */
export async function withLock(work) {
  await mkdir(folder, { recursive: true })
  const mine = join(folder, `lock-${process.pid}`)
  await writeFile(mine, String(process.pid))
  try {
    await take(mine)
    try {
      return await work()
    } finally {
      await rm(path, { force: true })
    }
  } finally {
    await rm(mine, { force: true })
  }
}

/** A hard link is made or not made at once, and so holds its owner's id from the start. @param {string} mine */
async function take(mine) {
  const start = performance.now()
  let told = false
  while (true) {
    try {
      return await link(mine, path)
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => '0'))
    if (owner > 0 && !isAlive(owner)) {
      await rm(path, { force: true })
      continue
    }
    if (!told) say('Another set-up is under way in this checkout: waiting for it.')
    told = true
    if (performance.now() - start > limitMs)
      throw new SetupError(`Another set-up (process ${owner}) does not end. If there is none, delete ${path}.`)
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'
  }
}
