import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { blobContract } from '../../testing/blob-contract.ts'
import { startBlobServer, type BlobServer } from '../../testing/blob-server.ts'
import { NodeFiles } from './node-files.ts'

describe('The blob store over a folder', () => {
  let server: BlobServer
  let directory: string
  beforeAll(async () => {
    server = await startBlobServer()
    directory = await mkdtemp(join(tmpdir(), 'manyhands-blobs-'))
  })
  afterAll(async () => {
    await server.close()
    await rm(directory, { recursive: true })
  })
  for (const check of blobContract) test(check.name, () => check.run({ url: server.url, files: new NodeFiles(directory) }))
})
