/**
 * A file that is read by ranges, whatever holds it: memory, a folder on disk, a web server.
 *
 * Nothing here touches Node, so that a page can use it.
 */

import { printable, WeftError } from "../errors.js"

export interface ByteSource {
  /** What messages call the file. */
  readonly name: string
  /** Bytes in the whole file. */
  readonly size: number
  /**
   * Exactly `length` bytes from `offset`; the caller must not write to them. A source that reads rather than has them may read into `into`,
   * which has that length, and return it.
   *
   * @throws WeftError `checkpoint/range` outside the file, `checkpoint/truncated` when the file ends early,
   * `checkpoint/unreadable` when the medium fails.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

/** A source over bytes that are already in memory; what `read` returns is a view of them. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(offset, length) {
      checkRange(name, bytes.length, offset, length)
      return bytes.subarray(offset, offset + length)
    },
    async close() {},
  }
}

/**
 * Refuses a range that is not inside a file of `size` bytes; every source calls it before it allocates.
 *
 * @throws WeftError `checkpoint/range`
 */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset <= size - length
  if (inside) return
  throw new WeftError(
    "checkpoint/range",
    `${printable(name)}: ${length} bytes from byte ${offset} are not inside the file of ${size} bytes`,
    { hint: "read only ranges that the header or the size of the source allows" },
  )
}
