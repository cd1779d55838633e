/**
 * The bytes of a header in their order: read in parts that grow, and let go when they were taken.
 *
 *     need(8)   reads 256 KiB │ takes 8 of them      need(1_000_000)   keeps what was not taken, reads what is missing
 *
 * Nothing is allocated for a count of the file before it is known to lie in the file and within the limit of headers.
 */
import { type ErrorCode, printable } from "../../errors.js"
import type { ByteSource } from "../source.js"

export const hints = {
  damaged: "the file is damaged or no GGUF of today; fetch it again, or convert the model anew",
  download: "the download is incomplete; fetch the file again",
  types: "fetch the model in another type, such as Q4_K_M, Q8_0 or BF16",
} as const

export type Refuse = (code: ErrorCode, problem: string, hint?: string) => never

export interface Parts {
  /** Bytes; each part has twice those of the one before. */
  readonly first: number
  readonly largest: number
}

/** The first part has the metadata of most files but the vocabulary; a web server takes some 50 ms for each, whatever it has. Not measured. */
const usualParts: Parts = { first: 2 ** 18, largest: 2 ** 22 }
/** Several times what the largest published files have, with the whole tokenizer.json in them. */
const mostBytes = 2 ** 27
/** What stands before a text: its length. */
const lengthBytes = 8

export class HeaderBytes {
  readonly #source: ByteSource
  readonly #refuse: Refuse
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  /** Where in the file `#bytes` begin, and what comes next in them. */
  #begin = 0
  #at = 0
  #part: number
  readonly #largestPart: number
  /** Of texts, one behind the other. */
  #packed = new Uint8Array(0)

  constructor(source: ByteSource, refuse: Refuse, parts = usualParts) {
    this.#source = source
    this.#refuse = refuse
    this.#part = parts.first
    this.#largestPart = parts.largest
  }

  /** Of the next byte in the file. */
  get position(): number {
    return this.#begin + this.#at
  }

  /**
   * Has `count` bytes ready to be taken.
   *
   * @param what they are, for messages
   */
  async need(count: number, what: string): Promise<void> {
    const { size } = this.#source
    const end = this.position + count
    if (end <= this.#begin + this.#bytes.length) return
    const there = `${what} at byte ${this.position}`
    if (end > size)
      this.#refuse("checkpoint/truncated", `${there} ends at byte ${end}, the file has ${size} bytes`, hints.download)
    if (end > mostBytes)
      this.#refuse("checkpoint/header", `${there} ends at byte ${end}, the limit of headers is ${mostBytes}`)
    const rest = this.#bytes.subarray(this.#at)
    const from = this.position + rest.length
    const read = await this.#source.read(from, Math.min(size, Math.max(end, from + this.#part)) - from)
    this.#part = Math.min(2 * this.#part, this.#largestPart)
    this.#begin = this.position
    this.#at = 0
    this.#bytes = read
    if (rest.length > 0) {
      this.#bytes = new Uint8Array(rest.length + read.length)
      this.#bytes.set(rest)
      this.#bytes.set(read, rest.length)
    }
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length)
  }

  /** Takes `count` bytes that are ready, by a function of where they are. */
  take<T>(count: number, read: (view: DataView, at: number) => T): T {
    const value = read(this.#view, this.#at)
    this.#at += count
    return value
  }

  async u32(what: string): Promise<number> {
    await this.need(4, what)
    return this.take(4, (view, at) => view.getUint32(at, true))
  }

  async u64(what: string): Promise<bigint> {
    await this.need(8, what)
    return this.take(8, (view, at) => view.getBigUint64(at, true))
  }

  /** How many there are of what, of which each takes `least` bytes of the file. */
  async count(what: string, limit: number, least: number): Promise<number> {
    const { size } = this.#source
    const begin = this.position
    const count = await this.u64(`the number of ${what}`)
    const claim = `the header claims ${count} ${what} at byte ${begin}`
    if (count > limit) this.#refuse("checkpoint/header", `${claim}, the limit is ${limit}`)
    if (Number(count) * least > size - this.position)
      this.#refuse("checkpoint/truncated", `${claim}, the file has ${size} bytes`, hints.download)
    return Number(count)
  }

  /** A text of at most `limit` bytes. */
  async text(what: string, limit = mostBytes): Promise<string> {
    await this.#needText(what, limit)
    const begin = this.#at + lengthBytes
    const bytes = this.#bytes.subarray(begin, begin + this.#view.getUint32(this.#at, true))
    const text = this.#decoded(bytes)
    if (text === undefined) {
      const near = printable(new TextDecoder().decode(bytes.subarray(0, 100)))
      return this.#refuse("checkpoint/header", `${what} at byte ${this.position} is no UTF-8: ${near}`)
    }
    this.#at = begin + bytes.length
    return text
  }

  /** So many texts. */
  async texts(what: string, count: number): Promise<string[]> {
    const texts: string[] = []
    while (texts.length < count) {
      const next = `text ${texts.length} of ${what}`
      await this.#needText(next, mostBytes)
      if (!this.#takeReady(texts, count)) texts.push(await this.text(next))
    }
    return texts
  }

  async #needText(what: string, limit: number): Promise<void> {
    await this.need(lengthBytes, `the length of ${what}`)
    const length = this.#view.getBigUint64(this.#at, true)
    if (length > limit)
      this.#refuse("checkpoint/header", `${what} at byte ${this.position} has ${length} bytes, the limit is ${limit}`)
    await this.need(lengthBytes + Number(length), what)
  }

  /**
   * Takes the texts that are ready as a whole, until there are `count`. They are decoded as one, for a call of the decoder for each takes most
   * of the time: all are UTF-8 where that is and none begins in the middle of a letter. Otherwise none is taken.
   */
  #takeReady(texts: string[], count: number): boolean {
    const [bytes, view] = [this.#bytes, this.#view]
    if (this.#packed.length < bytes.length - this.#at) this.#packed = new Uint8Array(bytes.length - this.#at)
    const packed = this.#packed
    const lengths: number[] = []
    let at = this.#at
    let filled = 0
    while (texts.length + lengths.length < count && at + lengthBytes <= bytes.length) {
      const first = at + lengthBytes
      const end = first + view.getUint32(at, true)
      if (end > bytes.length || view.getUint32(at + 4, true) !== 0) break
      if (end > first && isInside(bytes[first]!)) return false
      let length = 0
      for (let i = first; i < end; i++) {
        const byte = bytes[i]!
        packed[filled++] = byte
        if (!isInside(byte)) length += byte < 0xf0 ? 1 : 2
      }
      lengths.push(length)
      at = end
    }
    const all = this.#decoded(packed.subarray(0, filled))
    if (all === undefined) return false
    this.#at = at
    let begin = 0
    for (const length of lengths) {
      texts.push(all.slice(begin, begin + length))
      begin += length
    }
    return true
  }

  #decoded(bytes: Uint8Array): string | undefined {
    try {
      return this.#decoder.decode(bytes)
    } catch {
      return undefined
    }
  }
}

/** Whether a byte of UTF-8 goes on with a letter. */
const isInside = (byte: number): boolean => (byte & 0xc0) === 0x80
