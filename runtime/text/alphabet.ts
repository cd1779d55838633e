/**
 * The alphabet in which byte-level BPE spells bytes (GPT-2's).
 *
 * A vocabulary is JSON, so its tokens are text, yet a token may be any run of bytes, half a character included. Printable
 * Latin-1 bytes therefore stand for themselves and the other 68 are spelled with the letters from U+0100 on, in order:
 *
 *     bytes  20 74 68 65   →  "Ġthe"        bytes  C3  →  "Ã"        bytes  0A  →  "Ċ"
 */

const byteOfLetter = new Map<string, number>()
const letters: string[] = []
let standIn = 0x100
for (let byte = 0; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  letters.push(String.fromCharCode(printable ? byte : standIn++))
  byteOfLetter.set(letters[byte]!, byte)
}

/** The letter that stands for a byte. */
export const letterOfByte = (byte: number): string => letters[byte]!

/** A text's UTF-8 in letters. */
export function spellingOf(text: string): string {
  let spelling = ""
  for (const byte of new TextEncoder().encode(text)) spelling += letters[byte]
  return spelling
}

/** The bytes that a token's spelling stands for. A spelling with letters outside the alphabet stands for its own UTF-8. */
export function bytesOfSpelling(spelling: string): Uint8Array {
  const bytes = new Uint8Array(spelling.length)
  for (let at = 0; at < spelling.length; at++) {
    const byte = byteOfLetter.get(spelling[at]!)
    if (byte === undefined) return new TextEncoder().encode(spelling)
    bytes[at] = byte
  }
  return bytes
}
