/** Builds safetensors files, good and bad, and watches how they are read. */

import { expect } from "vitest"
import { WeftError } from "../../runtime/errors.js"
import { type ByteSource, memorySource } from "../../runtime/weights/source.js"

/** A file of this header text (or bytes) and so many zero bytes of data. */
export function file(header: string | Uint8Array, dataBytes = 0, claimed?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header
  const bytes = new Uint8Array(8 + text.length + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true)
  bytes.set(text, 8)
  return bytes
}

/** The header text of one tensor. */
export function tensor(dtype: string, shape: string, offsets: string): string {
  return `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`
}

/** The WeftError with which an action fails, as `code: message`; anything else fails the test. */
export async function thrown(action: () => unknown): Promise<string> {
  try {
    await action()
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    return `${error.code}: ${error.message}`
  }
  return expect.fail("nothing was thrown")
}

export interface Watched extends ByteSource {
  readonly bytesRead: () => number
}

/** A source that fails the test on a range outside the file and counts what is read. */
export function watched(bytes: Uint8Array): Watched {
  const source = memorySource("model.safetensors", bytes)
  let total = 0
  return {
    ...source,
    bytesRead: () => total,
    read(offset, length) {
      expect(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0).toBe(true)
      expect(offset + length).toBeLessThanOrEqual(bytes.length)
      total += length
      return source.read(offset, length)
    },
  }
}
