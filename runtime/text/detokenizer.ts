/**
 * Token ids to text while they are being generated.
 *
 * A token may end within a character. Its bytes are then held back until the character is whole, or known to be ill-formed:
 *
 *     push(… F0 9F)  →  ""        push(98 80)  →  "😀"        push(C3), flush()  →  "", "\ufffd"
 *
 * All parts together equal `tokenizer.decode` of all ids.
 */

import { createUtf8Decoder, type DecodeOptions, type Tokenizer } from "./tokenizer.js"

export interface Detokenizer {
  /** Takes the next token and returns the characters that are now whole. */
  push(id: number): string
  /** Ends the text: what is left of a character becomes U+FFFD. A new text may be pushed afterwards. */
  flush(): string
}

/** Makes a detokenizer. Unlike `decode`, it leaves special tokens out unless told otherwise. */
export function createDetokenizer(
  tokenizer: Pick<Tokenizer, "tokenBytes" | "isSpecial">,
  { skipSpecial = true }: DecodeOptions = {},
): Detokenizer {
  const decoder = createUtf8Decoder()
  return {
    push: (id) =>
      skipSpecial && tokenizer.isSpecial(id) ? "" : decoder.decode(tokenizer.tokenBytes(id), { stream: true }),
    flush: () => decoder.decode(),
  }
}
