import { expect, it } from 'vitest'
import { parseGatewayOptions } from './options.ts'

const server = ['--server', 'http://localhost:8080']

it('serves this machine alone where nothing else is said', () => {
  expect(parseGatewayOptions(server)).toEqual({
    do: 'serve',
    options: {
      servers: ['http://localhost:8080'],
      port: 8090,
      host: '127.0.0.1',
      keys: undefined,
      perMinute: 60,
      atOnce: 4,
      timeoutMs: 600_000,
      allowedOrigins: [],
    },
  })
})

it.each([
  [[], '--server is missing'],
  [['--server', 'localhost'], '--server takes an address'],
  [[...server, '--host', '0.0.0.0'], 'say with --keys FILE who may ask'],
  [[...server, '--port', '70000'], '--port takes a whole number'],
  [[...server, '--at-once', '0'], '--at-once takes'],
  [[...server, '--allow-origin', '*'], '--allow-origin takes an origin'],
  [[...server, '--allow-origin', 'https://app.example/x'], '--allow-origin takes an origin'],
  [['--new-key', 'ann'], '--new-key needs --keys'],
  [[...server, '--what'], '--what'],
])('%j is not understood, and it says why', (args, why) => {
  expect(() => parseGatewayOptions(args)).toThrow(why)
})

it('others than this machine may be let in with keys', () => {
  expect(parseGatewayOptions([...server, '--host', '0.0.0.0', '--keys', '/keys'])).toMatchObject({
    options: { host: '0.0.0.0', keys: '/keys' },
  })
})
