/** A grey or RGB picture from a PNG file, for tests that read pictures: eight bits a channel, not interlaced, as ours are written. */
import { readFileSync } from 'node:fs'
import { inflateSync } from 'node:zlib'
import type { Pixels } from '../sdk/ocr/resample.ts'

const signatureBytes = 8
/** Colour types, by channels. */
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3 }

export function readPng(path: string): Pixels {
  const file = readFileSync(path)
  const parts: Buffer[] = []
  let [width, height, channels] = [0, 0, 1]
  for (let at = signatureBytes; at < file.length;) {
    const length = file.readUInt32BE(at)
    const type = file.toString('latin1', at + 4, at + 8)
    const body = file.subarray(at + 8, at + 8 + length)
    if (type === 'IHDR') {
      ;[width, height] = [body.readUInt32BE(0), body.readUInt32BE(4)]
      const known = channelsOf[body[9] as number]
      if (body[8] !== 8 || known === undefined || body[12] !== 0) throw new Error(`${path} is a PNG of another kind than the tests' own.`)
      channels = known
    }
    if (type === 'IDAT') parts.push(body)
    at += 12 + length
  }
  const rows = unfiltered(inflateSync(Buffer.concat(parts)), width * channels, height, channels)
  const data = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : (rows[(i >> 2) * channels + (channels === 1 ? 0 : i % 4)] as number),
  )
  return { width, height, data }
}

/** What each row's filter took away is put back. */
function unfiltered(bytes: Uint8Array, stride: number, height: number, channels: number): Uint8Array {
  const rows = new Uint8Array(stride * height)
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (stride + 1)] as number
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x
      const left = x >= channels ? (rows[at - channels] as number) : 0
      const up = y > 0 ? (rows[at - stride] as number) : 0
      const corner = x >= channels && y > 0 ? (rows[at - stride - channels] as number) : 0
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] as number
      rows[at] = (bytes[y * (stride + 1) + 1 + x] as number) + guess
    }
  }
  return rows
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)]
  return a <= b && a <= c ? left : b <= c ? up : corner
}
