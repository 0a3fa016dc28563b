/** The package as strangers use it: what is in it, and that it works in Node, in a bundler's page, and from a script tag on another origin. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { build, createServer, type InlineConfig } from 'vite'
import { tinyLlama } from '../testing/tiny-llama.ts'
import { startBrowser } from './harness/browser-process.ts'
import { expect, test } from './harness/fixtures.ts'
import { otherSite } from './harness/other-site.ts'
import { pack, projectWith, root, type Packed, type Project } from './harness/packed.ts'
import { ProcessGroup } from './harness/process-group.ts'

const run = promisify(execFile)
const answerMs = 120_000
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly version: string }

let packed: Packed
let project: Project
/** What was started, ended in the opposite order. */
const ends: (() => Promise<unknown>)[] = []

test.beforeAll(async () => {
  packed = await pack()
  ends.push(packed.remove)
  // The last ones are used by the guide's code alone.
  project = await projectWith(packed, ['@roamhq/wrtc', '@ai-sdk/provider', 'ai', 'openai'])
  ends.push(project.remove)
})
test.afterAll(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

test.describe('what is published', () => {
  test('has the modules, the types, the command, the site, the widget and the licence, and nothing else', () => {
    const kinds = new Set(packed.files.map((path) => /^dist\/(package|web|w)\//.exec(path)?.[0] ?? path))
    process.stdout.write(`  ${packed.files.length} files, ${packed.packedBytes} bytes packed, ${packed.unpackedBytes} unpacked\n`)
    expect([...kinds].sort()).toEqual(['LICENSE', 'README.md', 'dist/package/', 'dist/w/', 'dist/web/', 'package.json'])
    expect(packed.files.filter((path) => /\.(ts|map|test\..*)$/.test(path) && !path.endsWith('.d.ts'))).toEqual([])
  })

  test('publint finds nothing in it', async () => {
    const { messages, pkg } = await publint({ pkgDir: join(project.folder, 'node_modules/manyhands'), pack: false, strict: true })
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([])
  })

  test('attw: its types are what its modules are, however they are resolved', async () => {
    const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js')
    await run(process.execPath, [attw, packed.tarball, '--profile', 'esm-only', '--no-color'])
  })

  test('its code for Node imports what package.json names, and package.json names nothing else', async () => {
    const folder = join(project.folder, 'node_modules/manyhands')
    const { dependencies, peerDependencies } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, object>
    const node = join(folder, 'dist/package/node')
    const types = join(folder, 'dist/package/types')
    const imported = new Set<string>()
    for (const at of [node, types]) {
      for (const file of await readdir(at, { recursive: true })) {
        if (!/\.(js|d\.ts)$/.test(file)) continue
        const code = await readFile(join(at, file), 'utf8')
        for (const [, name] of code.matchAll(
          /(?:^import|\bfrom|\bimport\(|\)\(|\.resolve\()\s*["']((?:@[\w.-]+\/)?[\w.-]+)(?:\/[\w./-]+)?["']/gm,
        ))
          if (name !== undefined && !name.startsWith('.') && !builtinModules.includes(name)) imported.add(name)
      }
    }
    expect([...imported].sort()).toEqual(Object.keys({ ...dependencies, ...peerDependencies }).sort())
  })
})

test.describe('its types', () => {
  const strict = { strict: true, exactOptionalPropertyTypes: true, noEmit: true, types: [], target: 'es2023' }
  const lib = ['es2023', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable']

  /** What the compiler says of some files of the project, by their names. */
  async function compiled(name: string, files: Readonly<Record<string, string>>, options: object): Promise<string> {
    const folder = join(project.folder, name)
    await mkdir(folder)
    for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text)
    await writeFile(join(folder, 'package.json'), '{"type":"module"}')
    const compilerOptions = { ...strict, lib, ...options }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(files) }))
    const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]
    const broken = ({ stdout }: { readonly stdout?: string }) => ({ stdout: stdout || 'The compiler broke.' })
    return (await run(process.execPath, tsc).catch(broken)).stdout
  }

  test('hold in a strict project, resolved as bundlers and as Node do', async () => {
    const text = `
      import { connect, ManyhandsError, type Network } from 'manyhands'
      import { donate } from 'manyhands/volunteer'
      export async function ask(net: Network): Promise<string> {
        const { text } = await net.generate('model', [{ role: 'user', content: 'Hello' }], { maxTokens: 4 })
        return text
      }
      export const hands = (options: Parameters<typeof donate>[0]) => donate(options).state.reason
      // @ts-expect-error a server is needed
      void connect({}).catch((error: unknown) => error instanceof ManyhandsError && error.code satisfies string)`
    expect(await compiled('bundled', { 'index.ts': text }, { skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler' })).toBe('')
    // Here its own declarations are checked, and those of what it depends on; the language's are not.
    expect(await compiled('in-node', { 'index.ts': text }, { skipDefaultLibCheck: true, module: 'nodenext' })).toBe('')
  })

  test('hold for the code of docs/sdk.md and llms.txt', async () => {
    const guides = ['docs/sdk.md', 'web/app/public/llms.txt'].map((path) => readFile(join(root, path), 'utf8'))
    const pieces = [...(await Promise.all(guides)).join('\n').matchAll(/```js\n(.*?)```/gs)].map(([, code]) => `${code}\nexport {}\n`)
    expect(pieces.length).toBeGreaterThan(10)
    const named = (pieces: readonly string[]) => Object.fromEntries(pieces.map((code, n) => [`piece-${n}.ts`, code]))
    // What a guide has from its reader, or from a piece before.
    const given = `
      declare const net: import('manyhands').Network
      declare const answer: import('manyhands').Generation
      declare const messages: { role: 'user', content: string }[]
      declare const model: string
      declare const values: Float32Array
      declare const pictures: readonly Blob[]
      declare function pixelsOf(picture: Blob): Promise<Float32Array>
      declare function keep(picture: Blob, outputs: object): Promise<void>
      declare let saved: import('manyhands').MapCheckpoint | undefined
      declare const listOfFeeds: import('manyhands').Feeds[]
      declare const imageData: ImageData
      declare const canvas: HTMLCanvasElement
      declare const context: CanvasRenderingContext2D
      declare const shown: HTMLElement
      declare const line: HTMLElement
      declare function askAgain(): void
      declare const process: { stdout: { write(text: string): void } }`
    const inNode = pieces.filter((code) => code.includes('weightsFolder'))
    const inPages = pieces.filter((code) => !inNode.includes(code))
    const options = { skipLibCheck: true, exactOptionalPropertyTypes: false }
    const files = { 'given.d.ts': given }
    expect(await compiled('guide', { ...files, ...named(inPages) }, { ...options, module: 'esnext', moduleResolution: 'bundler' })).toBe('')
    expect(await compiled('guide-in-node', { ...files, ...named(inNode) }, { ...options, module: 'nodenext' })).toBe('')
  })
})

test('the reference is made, and each of its links leads somewhere', async () => {
  const out = join(project.folder, 'reference')
  await run(process.execPath, [join(root, 'node_modules/typedoc/bin/typedoc'), '--out', out], { cwd: root })
  expect(await readdir(out)).toContain('index.html')
})

test('in Node without WebRTC all of it can be imported, and says what to install when it would connect', async () => {
  const bare = await projectWith(packed, ['@ai-sdk/provider'])
  try {
    await writeFile(
      join(bare.folder, 'ask.mjs'),
      `import { connect, createIdentity } from 'manyhands'
       for (const part of ['ai-sdk', 'ocr', 'volunteer', 'widget']) await import('manyhands/' + part)
       await createIdentity()
       await connect({ server: 'http://localhost:9' }).catch(({ code, message }) => console.log(code, message))`,
    )
    const { stdout } = await run(process.execPath, ['ask.mjs'], { cwd: bare.folder })
    expect(stdout).toMatch(/^unsupported .*npm install @roamhq\/wrtc/)
    const volunteer = await run(process.execPath, [bare.command, 'volunteer', '--server', 'http://localhost:9']).catch(
      (error: unknown) => error,
    )
    expect(volunteer).toMatchObject({ code: 1, stderr: expect.stringContaining('npm install @roamhq/wrtc') })
  } finally {
    await bare.remove()
  }
})

test('the command says what it can do, and what it does not know', async () => {
  const { stdout } = await run(process.execPath, [project.command, '--help'])
  for (const name of ['serve', 'models', 'volunteer', 'receipt']) {
    expect(stdout).toContain(`  ${name} `)
    const help = await run(process.execPath, [project.command, name, '--help'])
    expect(help.stdout).toContain(`Usage: manyhands ${name}`)
  }
  expect(await run(process.execPath, [project.command, 'levitate']).catch((error: unknown) => error)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("no command 'levitate'"),
  })
})

test.describe('a network of the packed command', () => {
  let server: string

  test.beforeAll(async () => {
    const data = join(project.folder, 'data')
    const gguf = join(project.folder, 'tiny.gguf')
    await writeFile(gguf, tinyLlama({ layers: 2 }))
    await run(process.execPath, [project.command, 'models', 'add', gguf, '--name', 'tiny-llama', '--data', data])
    const serving = new ProcessGroup('manyhands serve', process.execPath, [project.command, 'serve', '--port', '0', '--data', data])
    ends.push(() => serving.end())
    ;[server = ''] = await serving.says(/http:\/\/localhost:\d+/, 60_000)
    const weights = join(project.folder, 'weights')
    const giving = new ProcessGroup('manyhands volunteer', process.execPath, [
      project.command,
      'volunteer',
      '--server',
      server,
      '--data',
      weights,
    ])
    ends.push(() => giving.end())
    await giving.says(/^serving:/m, answerMs)
  })

  test('answers a script in Node', async () => {
    await writeFile(
      join(project.folder, 'ask.mjs'),
      `import { connect } from 'manyhands'
       const net = await connect({ server: ${JSON.stringify(server)} })
       const { tokenIds } = await net.generate('tiny-llama', 'Many hands', { maxTokens: 4 })
       process.stdout.write(String(tokenIds.length))
       await net.close()`,
    )
    const { stdout } = await run(process.execPath, ['ask.mjs'], { cwd: project.folder })
    expect(Number(stdout)).toBeGreaterThan(0)
  })

  test('serves its site, the SDK and the widget', async () => {
    const page = await fetch(`${server}/give`)
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('<title>Manyhands</title>')
    for (const path of ['/llms.txt', '/licences.txt', `/sdk/${version}/manyhands.js`, `/w/${version}/mh.js`])
      expect((await fetch(server + path)).status, path).toBe(200)
  })

  /** What the pages below do: ask, then volunteer, and tell of both in their title. */
  const inPage = (server: string) => `
    const net = await connect({ server: ${JSON.stringify(server)} })
    const { tokenIds } = await net.generate('tiny-llama', 'Many hands', { maxTokens: 4 })
    await net.close()
    const donation = donate({ server: ${JSON.stringify(server)}, backends: ['wasm'] })
    const tell = () => (document.title = tokenIds.length + ' tokens; ' + donation.state.phase + ': ' + donation.state.reason)
    donation.addEventListener('change', tell)
    tell()`

  async function asksAndGives(origin: string): Promise<void> {
    const browser = await startBrowser()
    try {
      await browser.page.goto(origin)
      await expect(browser.page).toHaveTitle(/^[1-4] tokens; serving/, { timeout: answerMs })
      expect(browser.problems).toEqual([])
    } finally {
      await browser.close()
    }
  }

  test('answers a page with a plain script tag on another origin, which volunteers too', async () => {
    const site = await otherSite({
      '/index.html': `<!doctype html><link rel="icon" href="data:," /><script type="module">
        import { connect } from '${server}/sdk/${version}/manyhands.js'
        import { donate } from '${server}/sdk/${version}/volunteer.js'
        ${inPage(server)}
      </script>`,
    })
    try {
      await asksAndGives(site.origin)
    } finally {
      await site.close()
    }
  })

  test('answers the page of a Vite project, built and under development, which volunteers too', async () => {
    const page = join(project.folder, 'page')
    await mkdir(page)
    await writeFile(
      join(page, 'index.html'),
      '<!doctype html><link rel="icon" href="data:," /><script type="module" src="./main.js"></script>',
    )
    await writeFile(
      join(page, 'main.js'),
      `import { connect } from 'manyhands'
       import { donate } from 'manyhands/volunteer'
       import 'manyhands/widget'
       await customElements.whenDefined('many-hands')
       ${inPage(server)}`,
    )
    const settings: InlineConfig = { configFile: false, root: page, logLevel: 'error' }
    await build({ ...settings, build: { target: 'es2022' } })
    const site = await otherSite(join(page, 'dist'))
    const development = await createServer({ ...settings, server: { host: '127.0.0.1', port: 0 } })
    try {
      await asksAndGives(site.origin)
      await development.listen()
      await asksAndGives(development.resolvedUrls?.local[0] ?? '')
    } finally {
      await development.close()
      await site.close()
    }
  })
})
