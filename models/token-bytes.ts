/** The bytes of a byte-level vocabulary's tokens, whose texts spell each byte as a printable character (GPT-2's alphabet). */
import { concatBytes, utf8, type Bytes } from '../protocol/bytes.ts'

/** Bytes that stand for themselves; the others, in order, are the characters from U+0100 on. */
const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
const hidden = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte))

/** @param token as the vocabulary spells it; a character that is none of the alphabet's is itself */
export function byteLevelBytes(token: string): Bytes {
  return concatBytes(
    Array.from(token, (character) => {
      const code = character.codePointAt(0) as number
      const byte = code < 256 && printable(code) ? code : hidden[code - 256]
      return byte === undefined ? utf8(character) : Uint8Array.of(byte)
    }),
  )
}
