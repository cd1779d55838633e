/**
 * A pull reader for JSON that a stranger wrote.
 *
 * `JSON.parse` keeps the last of two equal keys, turns `1e400` into infinity and `9007199254740993` into its neighbour, and
 * builds whatever tree the text asks for. Here the caller walks the text instead: it sees each key in order, each number as
 * it is written, and memory grows only with what the caller keeps.
 *
 *     for (const key of json.keys()) if (key === "shape") for (const _ of json.items()) shape.push(json.number()) else json.skip()
 */

import { printable } from "../errors.js"

/** Longest number that is read; no safe integer needs it. */
const maxDigits = 400
/** Deepest nesting inside a value that is skipped. */
const maxDepth = 64

export class JsonReader {
  readonly #text: string
  readonly #fail: (why: string) => never
  #at = 0

  /** `fail` is called with what is wrong and where; it throws. */
  constructor(text: string, fail: (why: string) => never) {
    this.#text = text
    this.#fail = fail
  }

  /** Yields each key of an object, duplicates included; the caller consumes the value before it asks for the next key. */
  *keys(): Generator<string> {
    this.#expect("{", "an object")
    if (this.#take("}")) return
    do {
      const key = this.string()
      this.#expect(":", "':'")
      yield key
    } while (this.#take(","))
    this.#expect("}", "',' or '}'")
  }

  /** Yields the number of each item of an array; the caller consumes the item before it asks for the next. */
  *items(): Generator<number> {
    this.#expect("[", "an array")
    if (this.#take("]")) return
    let index = 0
    do yield index++
    while (this.#take(","))
    this.#expect("]", "',' or ']'")
  }

  string(): string {
    this.#expect('"', "a string")
    const text = this.#text
    const begin = this.#at
    let escaped = false
    for (let at = begin; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code < 0x20) break
      if (code === 0x5c) {
        escaped = true
        at++
      } else if (code === 0x22) {
        this.#at = at + 1
        return escaped ? this.#unescape(text.slice(begin - 1, at + 1), begin) : text.slice(begin, at)
      }
    }
    return this.#fail(`the string at character ${begin} does not end`)
  }

  /** A number as it is written; {@link safeInteger} tells whether it is a count. */
  number(): string {
    this.#space()
    const begin = this.#at
    let end = begin
    while (end - begin <= maxDigits && /[-+.0-9eE]/.test(this.#text.charAt(end))) end++
    if (end === begin) return this.#unexpected("a number")
    const literal = this.#text.slice(begin, end)
    if (end - begin > maxDigits || !/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(literal)) {
      return this.#fail(`the number at character ${begin + 1} is malformed`)
    }
    this.#at = end
    return literal
  }

  /** Passes over one value of any kind and checks its syntax. */
  skip(depth = 0): void {
    this.#space()
    if (depth > maxDepth) this.#fail(`nesting deeper than ${maxDepth} at character ${this.#at + 1}`)
    const first = this.#text.charAt(this.#at)
    if (first === "{") for (const _ of this.keys()) this.skip(depth + 1)
    else if (first === "[") for (const _ of this.items()) this.skip(depth + 1)
    else if (first === '"') this.string()
    else if (!this.#take("null") && !this.#take("true") && !this.#take("false")) this.number()
  }

  /** Only white space may follow. */
  end(): void {
    this.#space()
    if (this.#at < this.#text.length) this.#unexpected("the end")
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #take(token: string): boolean {
    this.#space()
    if (!this.#text.startsWith(token, this.#at)) return false
    this.#at += token.length
    return true
  }

  #expect(token: string, what: string): void {
    if (!this.#take(token)) this.#unexpected(what)
  }

  #unexpected(what: string): never {
    const code = this.#text.codePointAt(this.#at)
    const found = code === undefined ? "the end" : printable(String.fromCodePoint(code))
    return this.#fail(`expected ${what} at character ${this.#at + 1}, found ${found}`)
  }

  #unescape(literal: string, at: number): string {
    try {
      const value: unknown = JSON.parse(literal)
      if (typeof value === "string" && !/\p{Surrogate}/u.test(value)) return value
    } catch {
      // an escape that JSON does not have; told below
    }
    return this.#fail(`the string at character ${at} has an invalid escape`)
  }
}

/** Deepest nesting of a config. */
const maxConfigDepth = 64

/**
 * The value of a JSON text that Python wrote, which has `Infinity`, `-Infinity` and `NaN` for the numbers that JSON lacks.
 *
 * @throws SyntaxError when it is no such text, or is nested more than 64 deep: what reads it afterwards may be recursive
 */
export function parseConfig(text: string): unknown {
  if (isDeeper(text, maxConfigDepth)) throw new SyntaxError(`it is nested more than ${maxConfigDepth} deep`)
  const pieces: string[] = []
  let done = 0
  let hasNaN = false
  const replace = (at: number, length: number, by: string) => {
    pieces.push(text.slice(done, at), by)
    done = at + length
  }
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '"') at = endOfString(text, at)
    else if (text.startsWith("NaN", at)) {
      hasNaN = true
      replace(at, 3, `"${notANumber}"`)
    } else if (text.startsWith("Infinity", at)) replace(at, 8, "1e999") // Too large a number is infinite.
  }
  const plain = pieces.join("") + text.slice(done)
  return JSON.parse(plain, hasNaN ? (_, value: unknown) => (value === notANumber ? Number.NaN : value) : undefined)
}

/** Whether lists and objects of a text are nested more than `most` deep, whatever else is wrong with it. */
export function isDeeper(text: string, most: number): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = endOfString(text, at)
    else if ((code === 0x5b || code === 0x7b) && ++depth > most) return true
    else if (code === 0x5d || code === 0x7d) depth--
  }
  return false
}

/** Where the quote stands that ends the string which begins at `at`; the end of the text when there is none. */
function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (code === 0x22) return end
    if (code === 0x5c) end++
  }
  return text.length
}

/** Stands for NaN in a text that is parsed; no config holds this text. */
const notANumber = "weft: not a number"

/** The value of a number that is written as plain digits and is at most 2^53 − 1; `1.0`, `1e1`, `-0` are not. */
export function safeInteger(literal: string): number | undefined {
  const value = /^\d+$/.test(literal) ? Number(literal) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}
