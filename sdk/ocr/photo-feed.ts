/**
 * A photo as a text detector takes it: no larger than need be, in sizes that halve five times, each colour about its mean. The
 * convention is PaddleOCR's (`DetResizeForTest`, `NormalizeImage`).
 */
import { ManyhandsError } from '../../protocol/errors.ts'
import { resample, type Pixels } from './resample.ts'

export interface PhotoFeed {
  /** Planes of blue, green and red. */
  readonly data: Float32Array
  readonly dims: readonly [1, 3, number, number]
}

/** The detector halves a picture five times. */
const sizeStep = 32
/** 48 megapixels: the largest photo a phone takes. */
const mostPixels = 48_000_000
/** As the model was trained: ImageNet's, though its channels are in the other order. */
const mean = [0.485, 0.456, 0.406] as const
const deviation = [0.229, 0.224, 0.225] as const

/**
 * @param side the longest that is looked at; larger photos are shrunk to it
 * @throws ManyhandsError bad-input when the picture is empty, too large, or its bytes do not fit it
 */
export function photoFeed(photo: Pixels, side: number): PhotoFeed {
  checkPixels(photo)
  const scale = Math.min(1, side / Math.max(photo.width, photo.height))
  const [width, height] = [photo.width, photo.height].map((size) =>
    Math.max(sizeStep, Math.round((size * scale) / sizeStep) * sizeStep),
  ) as [number, number]
  const rgb = resample(photo, width, height)
  const plane = width * height
  const data = new Float32Array(3 * plane)
  for (let channel = 0; channel < 3; channel++) {
    for (let at = 0; at < plane; at++)
      data[channel * plane + at] =
        ((rgb[3 * at + 2 - channel] as number) / 255 - (mean[channel] as number)) / (deviation[channel] as number)
  }
  return { data, dims: [1, 3, height, width] }
}

/** @throws ManyhandsError bad-input */
export function checkPixels({ width, height, data }: Pixels): void {
  const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0
  if (!whole) throw new ManyhandsError('bad-input', 'The picture is empty.')
  if (width * height > mostPixels)
    throw new ManyhandsError('bad-input', 'The picture is over 48 megapixels. Make it smaller, or cut the text out of it.')
  if (data.length !== width * height * 4) {
    throw new ManyhandsError('bad-input', `A picture of ${width} x ${height} has ${width * height * 4} bytes of RGBA, not ${data.length}.`)
  }
}
