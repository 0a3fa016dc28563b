/**
 * Where the page starts: the shell alone; the SDK comes with the first click that needs it (sdk.ts).
 */
import { mount } from 'svelte'
import App from './app.svelte'
import { sdk } from './sdk.ts'
import { createStores } from './stores.ts'
import './style/tokens.css'
import './style/base.css'
import './style/controls.css'
import './style/tables.css'

mount(App, { target: document.querySelector('#app') as HTMLElement, props: { all: createStores(sdk) } })
