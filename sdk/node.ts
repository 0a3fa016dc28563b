/** The requester's SDK in Node 20: the same `connect`, after the globals that Node lacks. */
import './node-globals.ts'

export * from './index.ts'
