/** `/w/VERSION/mh.js`, the one script a site loads, classic or as a module: the element, with the server that the script came from. */
import { version } from '../../package.json'
import { defineManyHands } from './element.ts'

/** A module does not know its own tag. */
const tags = [document.currentScript as HTMLScriptElement | null, ...document.scripts]
const own = tags.find((tag) => tag?.src.split('?', 1)[0]?.endsWith(`/w/${version}/mh.js`))
defineManyHands(own ? new URL(own.src).origin : undefined)
