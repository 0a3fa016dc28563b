/**
 * Pictures for reading: from a file or the clipboard, or an example that the page draws itself.
 */
import { m } from '../../paraglide/messages.js'
import { ManyhandsError } from '../../../protocol/errors.ts'

/** Ample for a phone's photo. */
const mostBytes = 30_000_000
/** Longest side kept: of a page that fills it, the smallest print is still sharp. */
const mostSide = 4096

/** @throws ManyhandsError bad-input when it is no picture that this browser can open */
export async function openPicture(file: Blob): Promise<ImageData> {
  if (file.size > mostBytes) throw new ManyhandsError('bad-input', m.reader_large_file())
  let bitmap: ImageBitmap
  try {
    bitmap = await createImageBitmap(file)
  } catch (cause) {
    throw new ManyhandsError('bad-input', m.reader_bad_file(), { cause })
  }
  const scale = Math.min(1, mostSide / Math.max(bitmap.width, bitmap.height))
  const context = canvasOf(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)))
  context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height)
  bitmap.close()
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height)
}

const example = ['Many hands make light work,', 'said the lighthouse keeper,', 'and lit one of his lamps', 'for every ship at sea.']
/** Of the page, as somebody holds it who is in a hurry. */
const tilt = -0.06

/** Lines of print as a photo might show them; a single one, straight, for models that read no more. */
export function drawExample(whole: boolean): ImageData {
  const lines = whole ? example : example.slice(0, 1)
  const context = whole ? canvasOf(640, 360) : canvasOf(460, 64)
  const { width, height } = context.canvas
  context.fillStyle = '#f4ead2'
  context.fillRect(0, 0, width, height)
  context.translate(width / 2, height / 2)
  if (whole) context.rotate(tilt)
  context.fillStyle = '#3b2a1a'
  context.font = 'italic 34px Georgia, "Liberation Serif", serif'
  context.textBaseline = 'middle'
  context.textAlign = 'center'
  for (const [i, line] of lines.entries()) context.fillText(line, 0, (i - (lines.length - 1) / 2) * 62)
  return context.getImageData(0, 0, width, height)
}

function canvasOf(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
  if (!context) throw new ManyhandsError('unsupported', 'This browser gives pages no canvas to read pictures with.')
  return context
}
