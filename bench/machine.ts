/** What it all ran on. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { cpus, release, totalmem, type } from 'node:os'
import { promisify } from 'node:util'
import { findBrowser } from '../scripts/setup/browser.mjs'

export async function machineText(): Promise<string> {
  const browser = await findBrowser()
  const version = browser ? (await promisify(execFile)(browser, ['--version'])).stdout.trim() : 'no browser'
  const processors = cpus()
  const packages = await Promise.all(
    ['onnxruntime-web', 'vite', 'playwright'].map((name) => versionOf(`../node_modules/${name}/package.json`, name)),
  )
  const others = await Promise.all(
    ['@huggingface/transformers', '@wllama/wllama'].map((name) => versionOf(`node_modules/${name}/package.json`, name)),
  )
  return [
    `- ${processors.length} x ${processors[0]?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB, no GPU used; ${type()} ${release()}`,
    `- ${version.replace(/ built on.*/, '')}, headless; Node ${process.versions.node}`,
    `- ${[...packages, ...others].join(', ')}`,
    `- ${new Date().toISOString().slice(0, 10)}`,
  ].join('\n')
}

async function versionOf(path: string, name: string): Promise<string> {
  const { version } = JSON.parse(await readFile(new URL(path, import.meta.url), 'utf8')) as { version: string }
  return `${name} ${version}`
}
