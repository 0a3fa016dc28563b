/**
 * Focus that went away with what was pressed moves to what took its place, instead of to the top of the page.
 */
import { tick } from 'svelte'

/** An attachment, for an element with a tabindex. */
export function takeLostFocus(node: HTMLElement): void {
  void tick().then(() => {
    if (document.activeElement === document.body) node.focus({ preventScroll: true })
  })
}
