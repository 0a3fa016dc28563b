/**
 * `manyhands serve` (in a clone `npm start`): a signaling server in this process, until SIGTERM or Ctrl-C. Exit codes:
 * 0 stopped, 1 failed, 2 not understood.
 */
import { asError, ManyhandsError } from '../protocol/errors.ts'
import { help, parseServerOptions } from './options.ts'
import { packageFiles } from './package-files.ts'
import { startServer, type RunningServer, type ServerOptions } from './server.ts'

const misused = 2
const failed = 1

try {
  const options = await parseServerOptions(process.argv.slice(2), process.env)
  if (options) await serve(options)
  else process.stdout.write(help)
} catch (thrown) {
  process.stderr.write(`${thrown instanceof ManyhandsError ? thrown.message : asError(thrown).stack}\n`)
  if (thrown instanceof ManyhandsError && thrown.code === 'bad-input') process.stderr.write('See manyhands serve --help\n')
  process.exitCode = thrown instanceof ManyhandsError && thrown.code === 'bad-input' ? misused : failed
}

async function serve(options: Omit<ServerOptions, 'log'>): Promise<void> {
  const server = await startServer({ ...options, log: (line) => process.stdout.write(`${new Date().toISOString()} ${line}\n`) })
  process.stdout.write(greeting(server, options))
  process.on('SIGHUP', () => void server.rescan())
  const stop = () => {
    server.close().then(
      () => process.exit(0),
      (thrown: unknown) => {
        process.stderr.write(`${asError(thrown).message}\n`)
        process.exit(failed)
      },
    )
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
}

function greeting({ url, models }: RunningServer, { data, host }: Omit<ServerOptions, 'log'>): string {
  const local = host === '127.0.0.1' || host === '::1' || host === 'localhost'
  return [
    '',
    `Manyhands is up at ${url}`,
    `  Give:        ${url}/give`,
    `  Playground:  ${url}/playground`,
    `  From code:   import { connect } from '${url}/sdk/${packageFiles.version}/manyhands.js'`,
    models.length === 0
      ? `  Models:      none yet. Add one: manyhands models add smollm2-135m-instruct --data ${data}`
      : `  Models:      ${models.map((m) => m.manifest.name).join(', ')}`,
    local
      ? '  This machine only. For others: a proxy with TLS in front (off localhost, browsers give pages without https no WebGPU, storage or keys), and --trust-proxy.'
      : '  For others than this machine: put a proxy with TLS in front. Off localhost, browsers give pages without https no WebGPU, storage or keys.',
    '',
    '',
  ].join('\n')
}
