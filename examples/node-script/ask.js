/** Asks a network of volunteers, from a terminal: node ask.js "Why do many hands make light work?" */
import { connect, ManyhandsError } from 'manyhands'

const server = process.env.MANYHANDS_SERVER ?? 'http://localhost:8080'
const question = process.argv[2] ?? 'Why do many hands make light work?'

try {
  const net = await connect({ server })
  try {
    const model = (await net.models()).find(({ task }) => task === 'text-generation')
    if (!model) throw new ManyhandsError('unknown-model', 'This server has no model that chats.')
    const answer = net.generate(model.name, [{ role: 'user', content: question }], { maxTokens: 128 })
    for await (const text of answer) process.stdout.write(text)
    const { stages, timing } = await answer
    console.error(`\n\n${model.title}; volunteers: ${stages.length}; tokens a second: ${timing.tokensPerSecond.toFixed(1)}`)
  } finally {
    await net.close()
  }
} catch (error) {
  // Each has a code for programs and a sentence for people.
  console.error(error instanceof ManyhandsError ? `${error.code}: ${error.message}` : error)
  process.exitCode = 1
}
