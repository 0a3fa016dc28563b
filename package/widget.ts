/** `manyhands/widget`: the element `<many-hands project="p_…" server="https://…">` for pages that are built, known to the page once this is imported. */
import { defineManyHands } from '../web/widget/element.ts'

export * from '../web/widget/element.ts'

// A server that renders the page has no elements.
if ('customElements' in globalThis) defineManyHands()
