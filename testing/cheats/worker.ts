/**
 * A tab's compute worker that cheats: as worker/entry.ts, but for the stage that it loads. Which cheat is said by whoever
 * serves it, in a line before it.
 */
import * as Comlink from 'comlink'
import { OpfsFiles } from '../../worker/blobs/opfs-files.ts'
import { defaultLimitBytes, storedBlobs } from '../../worker/blobs/stored-blobs.ts'
import { ortFromUrl } from '../../worker/engine/ort-source.ts'
import { StageService } from '../../worker/stage-service.ts'
import { loadCheatingStage } from './cheat.ts'
import { cheats, type CheatName } from './index.ts'

declare const manyhandsCheat: CheatName
const files = new OpfsFiles()

Comlink.expose(
  new StageService((request, { blobsUrl, engineUrl }, options) =>
    loadCheatingStage(
      cheats[manyhandsCheat](),
      request,
      { ort: ortFromUrl(engineUrl), blobs: storedBlobs({ blobsUrl, files, limitBytes: defaultLimitBytes }) },
      options,
    ),
  ),
)
