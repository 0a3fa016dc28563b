/**
 * Pictures for reading: from a file or the clipboard, or the example that the page draws itself.
 */
import { ManyhandsError } from '../../../protocol/errors.ts'

/** Ample for a phone's photo; a line of text needs far less. */
const mostBytes = 30_000_000
/** Longest side kept: a line of 48 rows is read from at most 2880 columns, and twice that loses nothing. */
const mostSide = 5760

/** @throws ManyhandsError bad-input when it is no picture that this browser can open */
export async function openPicture(file: Blob): Promise<ImageData> {
  if (file.size > mostBytes) throw new ManyhandsError('bad-input', 'The file is over 30 MB. Cut the line of text out of it first.')
  let bitmap: ImageBitmap
  try {
    bitmap = await createImageBitmap(file)
  } catch (cause) {
    throw new ManyhandsError('bad-input', 'This file is not a picture that the browser can open. PNG, JPEG and WebP work.', { cause })
  }
  const scale = Math.min(1, mostSide / Math.max(bitmap.width, bitmap.height))
  const context = canvasOf(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)))
  context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height)
  bitmap.close()
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height)
}

export const exampleText = 'Many hands make light work'

/** A line in the page's own script, as a photo of print might show it. */
export function drawExample(): ImageData {
  const font = 'italic 34px Georgia, "Liberation Serif", serif'
  const measure = canvasOf(1, 1)
  measure.font = font
  const context = canvasOf(Math.ceil(measure.measureText(exampleText).width) + 36, 64)
  const { width, height } = context.canvas
  context.fillStyle = '#f4ead2'
  context.fillRect(0, 0, width, height)
  context.fillStyle = '#3b2a1a'
  context.font = font
  context.textBaseline = 'middle'
  context.fillText(exampleText, 18, height / 2)
  return context.getImageData(0, 0, width, height)
}

function canvasOf(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
  if (!context) throw new ManyhandsError('unsupported', 'This browser gives pages no canvas to read pictures with.')
  return context
}
