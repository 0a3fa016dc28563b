import { describe, expect, it } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import { sha256Bytes } from '../../protocol/hash.ts'
import { packTensors, type TensorValue } from '../../protocol/tensors.ts'
import { CutHashes, type Rows } from './shadow-cuts.ts'

const width = 4
const tensor = (from: number, rows: number, salt = ''): TensorValue => ({
  dtype: 'uint8',
  dims: [1, rows, width],
  bytes: utf8(Array.from({ length: rows }, (_, i) => `${salt}${from + i}`.padStart(width, '.')).join('')),
})
const run = (position: number, rows: number): Rows => ({ position, rows, payload: packTensors([tensor(position, rows)]) })
const two = (position: number, rows: number): Rows => ({
  position,
  rows,
  payload: packTensors([tensor(position, rows), tensor(position, rows, 'x')]),
})
const hash = async (from: number, rows: number) => sha256Bytes(tensor(from, rows).bytes)

describe('the hashes of rows, cut as chunks were', () => {
  it('[CU2] are of the tensor bytes of the runs in a cut, and say which rows ran alone', async () => {
    const cuts = new CutHashes(0, [3, 2], 1)
    for (const step of [run(0, 2), run(2, 1), run(3, 1), run(4, 1)]) cuts.add(step)
    expect(cuts.complete).toBe(true)
    expect(await cuts.cuts()).toEqual([
      { alone: 0b100, payloadHash: await hash(0, 3) },
      { alone: 0b11, payloadHash: await hash(3, 2) },
    ])
  })

  it('begin where the cuts do, and end with them', async () => {
    const cuts = new CutHashes(4, [4], 1)
    for (const step of [run(0, 2), run(2, 4), run(6, 8)]) cuts.add(step)
    expect(await cuts.cuts()).toEqual([{ alone: 0, payloadHash: await hash(4, 4) }])
  })

  it('are the same for one tensor, however its rows were grouped', async () => {
    const cuts = new CutHashes(0, [4, 4], 1)
    for (const step of [run(0, 3), run(3, 5)]) cuts.add(step)
    expect((await cuts.cuts()).map((cut) => cut.payloadHash)).toEqual([await hash(0, 4), await hash(4, 4)])
  })

  it('are none of a run of two tensors that lies across cuts', () => {
    const cuts = new CutHashes(0, [4, 4], 2)
    cuts.add(two(0, 3))
    expect(() => cuts.add(two(3, 2))).toThrow('across two chunks')
  })

  it('are refused when rows were left out', () => {
    const cuts = new CutHashes(0, [4], 1)
    cuts.add(run(0, 2))
    expect(() => cuts.add(run(3, 2))).toThrow('Rows from 3 came where 2 was due')
  })

  it('are not complete before the last row is in', () => {
    const cuts = new CutHashes(0, [4], 1)
    cuts.add(run(0, 3))
    expect(cuts.complete).toBe(false)
  })
})
