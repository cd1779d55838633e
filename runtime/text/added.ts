/**
 * Finds added tokens in a text, as the reference does: leftmost, the longest at a place, and with their conditions.
 *
 *     "a <|x|> b", <|x|>                     →  "a "  <|x|>  " b"
 *     "a <|x|> b", <|x|> with lstrip         →  "a"  <|x|>  " b"        the token takes the spaces before it
 *     "word sword", word of a single word    →  word  " sword"          not inside of another word
 */

export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
  readonly singleWord: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
  /** Whether it is looked for in the normalised text, and in its own normalised form. */
  readonly normalized: boolean
}

/** Text, or the id of an added token. */
export type Section = string | number

const word = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]"
const endsWithWord = new RegExp(`${word}$`, "u")
const startsWithWord = new RegExp(`^${word}`, "u")
const space = /\p{White_Space}/u

/** A trie by UTF-16 units. */
interface Node {
  readonly next: Map<number, Node>
  token: AddedToken | undefined
}

/** Makes the function that cuts a text at `tokens`. A content that stands twice is the first one's. */
export function createSplitter(
  tokens: readonly AddedToken[],
  contentOf: (token: AddedToken) => string = ({ content }) => content,
): (text: string) => readonly Section[] {
  const root: Node = { next: new Map(), token: undefined }
  for (const token of tokens) {
    let node = root
    const content = contentOf(token)
    for (let at = 0; at < content.length; at++) {
      const code = content.charCodeAt(at)
      const next = node.next.get(code) ?? { next: new Map(), token: undefined }
      node.next.set(code, next)
      node = next
    }
    if (node !== root) node.token ??= token
  }
  if (root.next.size === 0) return (text) => (text === "" ? [] : [text])
  return (text) => split(text, root)
}

function split(text: string, root: Node): readonly Section[] {
  const sections: Section[] = []
  let done = 0
  for (let at = 0; at < text.length; ) {
    const found = longestAt(text, at, root)
    if (found === undefined) {
      at++
      continue
    }
    const { token, end } = found
    const alone = isAlone(text, at, end)
    if (!token.singleWord || alone) {
      const from = token.lstrip ? Math.max(done, spacesBefore(text, at)) : at
      if (from > done) sections.push(text.slice(done, from))
      sections.push(token.id)
      done = Math.max(done, token.rstrip ? spacesAfter(text, end) : end)
    }
    at = end
  }
  if (done < text.length) sections.push(text.slice(done))
  return sections
}

function longestAt(
  text: string,
  at: number,
  root: Node,
): { readonly token: AddedToken; readonly end: number } | undefined {
  let node: Node | undefined = root
  let found: { token: AddedToken; end: number } | undefined
  for (let end = at; node !== undefined; end++) {
    if (node.token !== undefined) found = { token: node.token, end }
    node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined
  }
  return found
}

/** Whether no letter, digit or underscore touches the text from `begin` to `end`. */
function isAlone(text: string, begin: number, end: number): boolean {
  return !endsWithWord.test(text.slice(Math.max(0, begin - 2), begin)) && !startsWithWord.test(text.slice(end, end + 2))
}

/** All white space is in one unit. */
function spacesBefore(text: string, at: number): number {
  let begin = at
  while (begin > 0 && space.test(text[begin - 1]!)) begin--
  return begin
}

function spacesAfter(text: string, at: number): number {
  let end = at
  while (end < text.length && space.test(text[end]!)) end++
  return end
}
