/** A tab's compute worker: a stage service with this browser's files and engine, spoken to by Comlink. */
import * as Comlink from 'comlink'
import { OpfsFiles } from './blobs/opfs-files.ts'
import { defaultLimitBytes, storedBlobs } from './blobs/stored-blobs.ts'
import { loadStage } from './engine/load-stage.ts'
import { ortFromUrl } from './engine/ort-source.ts'
import { StageService } from './stage-service.ts'

const files = new OpfsFiles()

Comlink.expose(
  new StageService((request, { blobsUrl, engineUrl }, options) =>
    loadStage(request, { ort: ortFromUrl(engineUrl), blobs: storedBlobs({ blobsUrl, files, limitBytes: defaultLimitBytes }) }, options),
  ),
)
