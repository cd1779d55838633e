/**
 * Files of a page as sources: behind a URL, read by ranges, or picked by the user.
 *
 *     read(4096, 8)   →   GET … range: bytes=4096-4103   →   206, content-range: bytes 4096-4103/639446688
 */
import { printable, thrownText, WeftError } from "../errors.js"
import { type ByteSource, checkRange, memorySource } from "./source.js"

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** What is read whole of a server that does not know ranges: small files and small models. */
const mostWhole = 100_000_000

/** A Blob or File; it is read where it lies. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length)
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer())
      } catch (cause) {
        throw unreadable(
          name,
          thrownText(cause),
          "the file may have changed or be gone since it was picked; pick it again",
          cause,
        )
      }
    },
    async close() {},
  }
}

/**
 * Asks how large a file is, and reads it by ranges from then on; whole and at once where the server does not know them and it is small.
 *
 * @returns undefined when the server says that there is none
 * @throws WeftError `checkpoint/unreadable`, `checkpoint/too-large`
 */
export async function urlSource(url: URL, fetch: Fetch): Promise<ByteSource | undefined> {
  const name = shownUrl(url)
  const ask = asker(url, name, fetch)
  const answer = await ask({ headers: { range: "bytes=0-0" } })
  if (answer.status === 404 || answer.status === 410) {
    await answer.body?.cancel()
    return undefined
  }
  // An empty file has no first byte.
  const total = rangeOf(answer)?.total
  if (answer.status === 416 && total === 0) return memorySource(name, new Uint8Array(0))
  if (answer.status === 200) return memorySource(name, await wholeOf(name, answer))
  if (answer.status !== 206) throw await refused(name, answer)
  await answer.body?.cancel()
  // Servers of other origins may not let the page see the range.
  const size = total ?? lengthOf(await ask({ method: "HEAD" }))
  if (size === undefined)
    throw unreadable(
      name,
      "the server does not say how large it is",
      "let it expose content-range to the page (access-control-expose-headers)",
    )
  return rangedSource(name, size, answer.headers.get("etag"), ask)
}

type Ask = (init: RequestInit) => Promise<Response>

const asker =
  (url: URL, name: string, fetch: Fetch): Ask =>
  async (init) => {
    try {
      return await fetch(url.href, init)
    } catch (cause) {
      const hint =
        "check the address and the network, and that the server lets this page read it (access-control-allow-origin)"
      throw unreadable(name, thrownText(cause), hint, cause)
    }
  }

function rangedSource(name: string, size: number, tag: string | null, ask: Ask): ByteSource {
  return {
    name,
    size,
    async read(offset, length, into) {
      checkRange(name, size, offset, length)
      const bytes = into ?? new Uint8Array(length)
      if (length === 0) return bytes
      const answer = await ask({ headers: { range: `bytes=${offset}-${offset + length - 1}` } })
      if (answer.status !== 206) throw await refused(name, answer)
      const range = rangeOf(answer)
      const isOther = (range?.total ?? size) !== size || isOtherTag(tag, answer.headers.get("etag"))
      if (isOther || (range?.begin ?? offset) !== offset) {
        await answer.body?.cancel()
        const what = isOther
          ? "the file is another than it was"
          : `the server gives bytes from ${range?.begin} in place of ${offset}`
        throw unreadable(name, what, "load the model again")
      }
      let at = 0
      for await (const part of partsOf(name, answer)) {
        if (at + part.length > length)
          throw unreadable(name, `the server gives more than ${length} bytes`, "look at the server")
        bytes.set(part, at)
        at += part.length
      }
      if (at === length) return bytes
      throw new WeftError(
        "checkpoint/truncated",
        `${printable(name)}: the answer ended at byte ${offset + at} of ${offset + length}`,
        {
          hint: "the connection broke off; load the model again",
        },
      )
    },
    async close() {},
  }
}

/** Whether two tags say that two files differ; weak ones say nothing of bytes. */
const isOtherTag = (a: string | null, b: string | null): boolean =>
  a !== b && [a, b].every((tag) => tag?.startsWith('"'))

async function wholeOf(name: string, answer: Response): Promise<Uint8Array> {
  const tooLarge = () =>
    new WeftError(
      "checkpoint/too-large",
      `${printable(name)} has more than ${mostWhole} bytes, and its server gives it whole only`,
      { hint: "let the server answer requests of ranges, or pick the file" },
    )
  if ((lengthOf(answer) ?? 0) > mostWhole) {
    await answer.body?.cancel()
    throw tooLarge()
  }
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of partsOf(name, answer)) {
    size += part.length
    if (size > mostWhole) throw tooLarge()
    parts.push(part)
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** What an answer holds, as it comes; it is broken off where it is not read to its end. */
async function* partsOf(name: string, { body }: Response): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader()
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true }
      if (done || value === undefined) return
      yield value
    }
  } catch (cause) {
    throw unreadable(name, thrownText(cause), "the connection broke off; load the model again", cause)
  } finally {
    await reader?.cancel().catch(() => {})
  }
}

// `bytes 0-99/1234`, or with a star in place of what is not given or not known.
function rangeOf({
  headers,
}: Response): { readonly begin: number | undefined; readonly total: number | undefined } | undefined {
  const [, begin, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? []
  const count = (text: string | undefined) => (text === undefined || text === "*" ? undefined : Number(text))
  return total === undefined ? undefined : { begin: count(begin), total: count(total) }
}

function lengthOf({ ok, headers }: Response): number | undefined {
  const length = headers.get("content-length")
  return ok && length !== null && /^\d+$/.test(length) ? Number(length) : undefined
}

/** Without what may be secret. */
const shownUrl = ({ protocol, host, pathname }: URL): string => `${protocol}//${host}${pathname}`

async function refused(name: string, { status, statusText, body }: Response): Promise<WeftError> {
  await body?.cancel()
  return unreadable(
    name,
    `the server answers ${`${status} ${statusText}`.trim()}`,
    "check the address, and whether it has to be asked with a token",
  )
}

function unreadable(name: string, why: string, hint: string, cause?: unknown): WeftError {
  return new WeftError("checkpoint/unreadable", `${printable(name)} cannot be read: ${printable(why).slice(1, -1)}`, {
    hint,
    cause,
  })
}
