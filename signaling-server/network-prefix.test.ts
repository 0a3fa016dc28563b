import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { networkPrefix } from './network-prefix.ts'

describe('networkPrefix', () => {
  it.each([
    ['203.0.113.77', '203.0.113.0/24'],
    ['100.64.1.2', '100.64.1.0/24'],
    ['172.32.0.1', '172.32.0.0/24'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
    ['::ffff:cb00:714d', '203.0.113.0/24'],
    ['2001:db8:1:2::3', '2001:db8:1::/48'],
    ['2001:0DB8:0001:ffff:ffff:ffff:ffff:ffff', '2001:db8:1::/48'],
    ['2001:db8::', '2001:db8:0::/48'],
  ])('%s counts as %s', (ip, prefix) => expect(networkPrefix(ip)).toBe(prefix))

  it.each(['127.0.0.1', '127.9.9.9', '10.1.2.3', '172.16.0.1', '172.31.255.1', '192.168.1.1', '169.254.0.1', '0.0.0.0'])(
    '%s has none',
    (ip) => expect(networkPrefix(ip)).toBeUndefined(),
  )

  it.each(['::1', '::', 'fd00::1', 'fe80::1%eth0', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '', 'localhost', '1.2.3', '1:2'])(
    '%s has none',
    (ip) => expect(networkPrefix(ip)).toBeUndefined(),
  )

  it('an address and its v4-mapped form count together', () => {
    fc.assert(fc.property(fc.ipV4(), (ip) => networkPrefix(ip) === networkPrefix(`::ffff:${ip}`)))
  })

  it('any IPv6 address has a short prefix or none', () => {
    fc.assert(fc.property(fc.ipV6(), (ip) => /^([0-9a-f]{1,4}:){3}:\/48$|^\d+\.\d+\.\d+\.0\/24$/.test(networkPrefix(ip) ?? '0:0:0::/48')))
  })
})
