/**
 * Real URLs on the History API: which page is shown, and links that change it without a reload.
 */
import { m } from '../paraglide/messages.js'

const pages = {
  '/': { page: 'home', name: undefined },
  '/give': { page: 'give', name: m.shell_give },
  '/playground': { page: 'playground', name: m.shell_playground },
  '/network': { page: 'network', name: m.shell_network },
  '/models': { page: 'models', name: m.shell_models },
  '/impact': { page: 'impact', name: m.shell_impact },
  '/trust': { page: 'trust', name: m.shell_trust },
  '/project': { page: 'project', name: m.shell_project },
} as const

export type Path = keyof typeof pages
export type Page = (typeof pages)[Path]['page'] | 'missing'

const isPath = (path: string): path is Path => Object.hasOwn(pages, path)
const trimmed = (path: string) => path.replace(/(.)\/+$/, '$1')

export class Router {
  path = $state(trimmed(location.pathname))
  readonly page: Page = $derived(isPath(this.path) ? pages[this.path].page : 'missing')
  readonly title: string = $derived.by(() => {
    const name = isPath(this.path) ? pages[this.path].name : m.shell_missing_page
    return name ? m.shell_title({ page: name() }) : 'Manyhands'
  })

  /** Follows links and the browser's buttons for as long as the page lives. */
  constructor() {
    addEventListener('popstate', () => (this.path = trimmed(location.pathname)))
    document.addEventListener('click', (event) => this.#click(event))
  }

  go(url: URL): void {
    history.pushState(null, '', url)
    this.path = trimmed(url.pathname)
    scrollTo(0, 0)
  }

  #click(event: MouseEvent): void {
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return
    const url = new URL(link.href)
    if (url.origin !== location.origin || !isPath(trimmed(url.pathname)) || (url.hash && url.pathname === location.pathname)) return
    event.preventDefault()
    this.go(url)
  }
}
