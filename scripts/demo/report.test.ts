import { expect, test } from 'vitest'
import type { Receipt } from '../../protocol/receipt.ts'
import type { StageInfo } from '../../sdk/types.ts'
import { reportJson, reportTable } from './report.ts'

const receipt = { custody: { checked: 12, failed: 0 }, status: 'provisional' } as Receipt
const stages: StageInfo[] = [
  { peer: 'aa'.repeat(32), blocks: [0, 20], backend: 'webgpu' },
  { peer: 'bb'.repeat(32), blocks: [20, 62], backend: 'wasm' },
]
const answer = {
  text: 'Paris.',
  tokenIds: [7, 8, 2],
  finish: 'stop' as const,
  stages,
  firstTokenMs: 812,
  tokensPerSecond: 25.12345,
  hopMs: [0.5, 0.9, 3.5],
  receipt,
}

test('the JSON has the fields that were promised, in one line', () => {
  const line = reportJson('a-model', answer)
  expect(line).not.toContain('\n')
  expect(JSON.parse(line)).toEqual({
    model: 'a-model',
    text: 'Paris.',
    tokenIds: [7, 8, 2],
    finish: 'stop',
    stages,
    tokensPerSecond: 25.123,
    hopMs: { median: 0.9, p95: 3.5 },
    custody: { checked: 12, failed: 0 },
    receipt,
  })
})

test('a model that makes no tokens has no hops to tell of', () => {
  expect(JSON.parse(reportJson('a-model', { ...answer, tokenIds: [], hopMs: [], tokensPerSecond: 0 }))).toMatchObject({
    tokenIds: [],
    hopMs: { median: null, p95: null },
  })
})

test('the table shows stages, peers, backends, speed, hops and custody', () => {
  const table = reportTable(answer)
  for (const shown of ['1 to 20', '21 to 62', 'aaaaaaaa', 'webgpu', 'wasm', '25.1 tokens/s', '0.90 ms', '12 link-chunks checked, 0 failed'])
    expect(table).toContain(shown)
})
