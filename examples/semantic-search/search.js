/**
 * Finds the passages of a text that answer a question, whatever words they use: node search.js book.txt "Who shares a burden?"
 * The text's passages become vectors once; without a question, questions are read line by line.
 */
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { connect, ManyhandsError } from 'manyhands'

const server = process.env.MANYHANDS_SERVER ?? 'http://localhost:8080'
const [file, question] = process.argv.slice(2)
const shown = 3

try {
  if (!file) throw new ManyhandsError('bad-input', 'Name a text file: node search.js book.txt "Who shares a burden?"')
  const passages = split(await readFile(file, 'utf8'))
  const net = await connect({ server })
  try {
    const model = (await net.models()).find(({ task }) => task === 'feature-extraction')
    if (!model) throw new ManyhandsError('unknown-model', 'This server has no model that makes vectors of texts.')
    const { embeddings } = await net.embed(model.name, passages, {
      onProgress: ({ done, total }) => process.stderr.write(`\r${done} of ${total} passages`),
    })
    process.stderr.write('\n')

    const search = async (text) => {
      const { embeddings: asked } = await net.embed(model.name, [text])
      const found = embeddings.map((vector, i) => ({ passage: passages[i], likeness: dot(vector, asked[0]) }))
      found.sort((a, b) => b.likeness - a.likeness)
      for (const { passage, likeness } of found.slice(0, shown)) console.log(`${likeness.toFixed(2)}  ${passage}\n`)
    }

    if (question) await search(question)
    else for await (const line of createInterface({ input: process.stdin })) if (line.trim() !== '') await search(line)
  } finally {
    await net.close()
  }
} catch (error) {
  // Each has a code for programs and a sentence for people.
  console.error(error instanceof ManyhandsError ? `${error.code}: ${error.message}` : error)
  process.exitCode = 1
}

/** Paragraphs, and of long ones some sentences at a time: an encoder reads a few hundred words at most, and a short passage says one thing. */
function split(text) {
  const longest = 600
  return text
    .split(/\n\s*\n/)
    .flatMap((paragraph) => {
      const pieces = ['']
      for (const sentence of paragraph
        .replace(/\s+/g, ' ')
        .trim()
        .split(/(?<=[.!?]) /)) {
        const last = pieces.at(-1)
        if (last !== '' && last.length + sentence.length > longest) pieces.push(sentence)
        else pieces[pieces.length - 1] = `${last} ${sentence}`.trim()
      }
      return pieces
    })
    .filter((piece) => piece !== '')
}

/** Of vectors of length 1 this is the cosine of the angle between them: 1 for the same direction. */
function dot(a, b) {
  return a.reduce((sum, x, i) => sum + x * b[i], 0)
}
