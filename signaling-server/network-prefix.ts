/**
 * The part of an address that one subscriber commonly holds: what limits count by, beside the key (keys are free).
 */
import { isIPv4, isIPv6 } from 'node:net'

/** IPv4 as a /24, IPv6 as a /48; undefined for loopback, private and link-local addresses, where everybody counts by key alone. */
export function networkPrefix(ip: string): string | undefined {
  const address = ip.replace(/%.*$/, '')
  if (isIPv4(address)) return v4Prefix(address.split('.').map(Number))
  if (!isIPv6(address)) return undefined
  const groups = v6Groups(address)
  const [a = 0, b = 0, c = 0] = groups
  const [g = 0, h = 0] = groups.slice(6)
  const zeros = (end: number) => groups.slice(0, end).every((group) => group === 0)
  if (zeros(5) && groups[5] === 0xffff) return v4Prefix([g >> 8, g & 255, h >> 8, h & 255])
  if (zeros(7) && h <= 1) return undefined
  // fc00::/7 unique local, fe80::/10 link-local.
  if ((a & 0xfe00) === 0xfc00 || (a & 0xffc0) === 0xfe80) return undefined
  return `${a.toString(16)}:${b.toString(16)}:${c.toString(16)}::/48`
}

function v4Prefix([a = 0, b = 0, c = 0]: number[]): string | undefined {
  // RFC 1918, loopback, link-local, and "this host". Carrier-grade NAT (100.64/10) is many strangers: it counts.
  if (a === 0 || a === 10 || a === 127 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 169 && b === 254))
    return undefined
  return `${a}.${b}.${c}.0/24`
}

/** The eight 16-bit groups of a valid IPv6 address. */
function v6Groups(address: string): number[] {
  const dotted = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
    [(Number(a) << 8) | Number(b), (Number(c) << 8) | Number(d)].map((n) => n.toString(16)).join(':'),
  )
  const [head = '', tail] = dotted.split('::')
  const parse = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)))
  if (tail === undefined) return parse(head)
  const [front, back] = [parse(head), parse(tail)]
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back]
}
