/** The site's own part: a question to the model, answered by visitors who lend their tab, and a line that says how many hands help. */
// @ts-expect-error The server's address takes the place of this one; its types are the package's.
import { connect } from 'https://hands.example/sdk/0.1.0/manyhands.js'

/** Made by `npm run project -- create`. It is good on this site's own address alone, so that it may stand here. */
const apiKey = 'mh_your-project-key'
const model = 'smollm2-135m-instruct'

const form = /** @type {HTMLFormElement} */ (document.getElementById('ask'))
const question = /** @type {HTMLInputElement} */ (document.getElementById('question'))
const answer = /** @type {HTMLElement} */ (document.getElementById('answer'))
const helping = /** @type {HTMLElement} */ (document.getElementById('helping'))

/** @type {Promise<import('../../../sdk/types.ts').Network> | undefined} */
let network

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  answer.textContent = '…'
  try {
    const connecting = network ?? connect({ server: 'https://hands.example', apiKey })
    network = connecting
    const asked = [{ role: /** @type {const} */ ('user'), content: question.value }]
    let text = ''
    for await (const piece of (await connecting).generate(model, asked, { maxTokens: 60 })) answer.textContent = text += piece
  } catch (error) {
    network = undefined
    answer.textContent = error instanceof Error ? error.message : String(error)
  }
})

document.querySelector('many-hands')?.addEventListener('statechange', ({ detail }) => {
  helping.textContent = detail.state === 'giving' ? 'You are helping right now: thank you!' : ''
})
