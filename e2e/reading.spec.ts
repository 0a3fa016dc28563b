/** A model that is no decoder, over three browsers by the same path: a picture of a printed line is read. */
import { Tensor } from 'onnxruntime-common'
import { connect } from '../sdk/node.ts'
import { lineFeed, parseCharacters, readLine } from '../sdk/ocr/line.ts'
import { printedLine, printedText } from '../testing/printed-line.ts'
import { expect, test } from './harness/fixtures.ts'

const model = 'pp-ocrv4-rec'

test('a picture of a line of text is read by three browsers', async ({ reading }) => {
  const network = await connect({ server: reading.url })
  try {
    const characters = parseCharacters(await network.file(model, 'characters'))
    const { data, dims } = lineFeed(printedLine())
    const { outputs, stages, receipt } = await network.run(model, { x: new Tensor('float32', data, [...dims]) })
    const output = Object.values(outputs)[0] as Tensor
    expect(readLine(output.data as Float32Array, output.dims, characters).text).toBe(printedText)
    expect(new Set(stages.map((stage) => stage.peer)).size).toBe(3)
    expect((await receipt).custody.failed).toBe(0)
  } finally {
    await network.close()
  }
})

test('feeds that do not fit are refused by name before anything travels', async ({ reading }) => {
  const network = await connect({ server: reading.url })
  const line = new Float32Array(3 * 48 * 320)
  try {
    await expect(network.run(model, {})).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining("'x'") })
    await expect(network.run(model, { y: new Tensor('float32', line, [1, 3, 48, 320]) })).rejects.toMatchObject({ code: 'bad-input' })
    await expect(network.run(model, { x: new Tensor('float32', line, [3, 48, 320]) })).rejects.toMatchObject({ code: 'bad-input' })
    await expect(network.run(model, { x: new Tensor('int32', new Int32Array(line.length), [1, 3, 48, 320]) })).rejects.toMatchObject({
      code: 'bad-input',
    })
    line[5] = Number.NaN
    await expect(network.run(model, { x: new Tensor('float32', line, [1, 3, 48, 320]) })).rejects.toMatchObject({ code: 'not-finite' })
  } finally {
    await network.close()
  }
})
