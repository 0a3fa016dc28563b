/** What is published for Node, and the types, built into dist/package: again when a source is newer than they are. */
import { join } from 'node:path'
import { upToDate } from './site.mjs'
import { root, runQuietly } from './steps.mjs'

const sources = [
  'sdk',
  'worker',
  'link',
  'models',
  'protocol',
  'signaling-server',
  'gateway',
  'scripts',
  'web/widget',
  'package',
  'package-lock.json',
]

export const packageIsThere = () => upToDate(['package/node/cli.js', 'package/types/manyhands.d.ts'], sources)

export async function buildPackage() {
  await runQuietly(process.execPath, ['--import', 'tsx', join(root, 'package/build.ts')])
}
