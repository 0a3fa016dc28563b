/**
 * A tab's compute worker that cheats: as worker/entry.ts, but for the stage that it loads. Which cheat is said by whoever
 * serves it, in a line before it.
 */
import * as Comlink from 'comlink'
import { OpfsFiles } from '../../worker/blobs/opfs-files.ts'
import { defaultLimitBytes, storedBlobs } from '../../worker/blobs/stored-blobs.ts'
import { ortFromUrl } from '../../worker/engine/ort-source.ts'
import type { StageEvent, StageRequest } from '../../worker/api.ts'
import { StageService } from '../../worker/stage-service.ts'
import { loadCheatingStage, type Cheat } from './cheat.ts'
import { cheats, type CheatName } from './index.ts'

declare const manyhandsCheat: CheatName
const cheat: Cheat = cheats[manyhandsCheat]()
const files = new OpfsFiles()
cheat.patch?.()

/** As shipped, but for what it tells its page. */
class CheatingService extends StageService {
  override load(request: StageRequest, onEvent: (event: StageEvent) => void) {
    return super.load(request, (event) => {
      void (async () => {
        const told = cheat.tells ? await cheat.tells(event, request) : event
        if (told) onEvent(told)
      })()
    })
  }
}

Comlink.expose(
  new CheatingService((request, { blobsUrl, engineUrl }, options) =>
    loadCheatingStage(
      cheat,
      request,
      { ort: ortFromUrl(engineUrl), blobs: storedBlobs({ blobsUrl, files, limitBytes: defaultLimitBytes }) },
      options,
    ),
  ),
)
