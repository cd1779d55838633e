/**
 * The weights of an artifact, from their source to a device: batches of some megabytes, several of them under way at a time.
 *
 *   batch 0  [embedding, its first 16 MiB]          read, copied
 *   batch 7  [norm, q, k, v … of a few layers]      read at the same time, each part right into memory of the device's where it has such
 */
import { type Artifact, type ArtifactWeight, weightBytes } from "../artifact.js"
import { fillAside } from "../devices/aside.js"
import type { Device, DeviceBuffer, Region } from "../devices/device.js"
import { printable, thrownText, WeftError } from "../errors.js"
import { hostText } from "../host.js"

/** Where weights come from: bytes of a tensor in the storage that the artifact names. */
export interface WeightSource {
  /**
   * As many bytes as asked for; several calls may be under way at a time. A source may read right into `into`, which has that length, and
   * return it; what else it returns is copied.
   */
  read(weight: ArtifactWeight, byteOffset: number, byteLength: number, into: Uint8Array): Promise<Uint8Array>
}

/** Bytes of a batch: a tensor is never read whole when it is larger. Large enough that what surrounds a read does not count. */
const batchBytes = 16 << 20
/** Batches under way: four reads, which is what Node carries out at once, and four that the device copies. */
const batchesUnderWay = 8

interface Piece extends Region {
  readonly weight: ArtifactWeight
  /** Bytes into the tensor. */
  readonly from: number
}

/**
 * @param onProgress is called with the bytes that are with the device, and those of all weights
 * @throws WeftError `session/weights`, and what the source, the device or `onProgress` throws, when no read is under way any more
 */
export async function uploadWeights(
  artifact: Artifact,
  device: Device,
  at: (buffer: number) => DeviceBuffer,
  source: WeightSource,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  const pieces = artifact.weights.flatMap((w) => piecesOf(w, at(w.buffer)))
  const total = pieces.reduce((n, p) => n + p.bytes, 0)
  const batches = batchesOf(pieces)
  let done = 0
  let failed = false
  const work = async () => {
    for (let batch = batches.shift(); batch !== undefined && !failed; batch = batches.shift()) {
      try {
        await upload(batch, device, source, () => failed)
        if (failed) return
        done += batch.reduce((n, p) => n + p.bytes, 0)
        onProgress(done, total)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: batchesUnderWay }, work))
  for (const end of ends) if (end.status === "rejected") throw end.reason
}

function piecesOf(weight: ArtifactWeight, to: DeviceBuffer): readonly Piece[] {
  const bytes = weightBytes(weight)
  return Array.from({ length: Math.ceil(bytes / batchBytes) }, (_, i) => {
    const start = i * batchBytes
    const from = (weight.part?.begin ?? 0) + start
    return { weight, from, to, offset: weight.offset + start, bytes: Math.min(batchBytes, bytes - start) }
  })
}

function batchesOf(pieces: readonly Piece[]): Piece[][] {
  const batches: Piece[][] = []
  let room = 0
  for (const piece of pieces) {
    if (piece.bytes > room || batches.length === 0) {
      batches.push([])
      room = batchBytes
    }
    batches.at(-1)!.push(piece)
    room -= piece.bytes
  }
  return batches
}

async function upload(batch: readonly Piece[], device: Device, source: WeightSource, stopped: () => boolean) {
  const { parts, finish, abandon } = (await device.stage?.(batch)) ?? fillAside(device, batch)
  try {
    for (const [i, piece] of batch.entries()) {
      if (stopped()) return abandon()
      const found = await readPiece(source, piece, parts[i]!)
      if (found !== parts[i]) parts[i]!.set(found)
    }
  } catch (error) {
    abandon()
    throw error
  }
  finish()
}

/** Bytes of a weight from the host's source, which must be as many as were asked for. */
async function readPiece(source: WeightSource, { weight, from, bytes }: Piece, into: Uint8Array): Promise<Uint8Array> {
  const refuse = (what: string, cause?: unknown) =>
    new WeftError("session/weights", `the source of weights ${what} for ${printable(weight.tensor)}`, {
      hint: "its function 'read' gives the bytes of a tensor from an offset on, as many as it is asked for",
      cause,
    })
  let part: unknown
  try {
    part = await source.read(weight, from, bytes, into)
  } catch (cause) {
    throw cause instanceof WeftError ? cause : refuse(`failed (${thrownText(cause)})`, cause)
  }
  if (part === into) return into
  if (!ArrayBuffer.isView(part)) throw refuse(`gave ${hostText(part)}`)
  if (part.byteLength !== bytes) throw refuse(`gave ${part.byteLength} bytes in place of ${bytes}`)
  return new Uint8Array(part.buffer as ArrayBuffer, part.byteOffset, bytes)
}
