/**
 * Writes a GGUF file, tensor by tensor and some rows at a time: a file beside it grows, and is given the name at the end. What is refused, breaks off or
 * finds the disk full leaves nothing behind.
 *
 *     model.gguf.4711.part   →   model.gguf
 */
import { type FileHandle, mkdir, open, rename, rm, statfs } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { printable, thrownText, WeftError } from "../../runtime/errors.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { type Entry, writeGgufHeader } from "../../runtime/weights/gguf/writer.js"
import type { Encoded } from "./encode.js"
import { createEncoders } from "./encoders.js"
import { chunkWeights, rowChunks } from "./tensors.js"
import { type FileType, type TypedTensor, typeBytes, typeNumber } from "./types.js"

export interface GgufFile {
  readonly metadata: ReadonlyMap<string, Entry>
  readonly tensors: readonly TypedTensor[]
  /** Small tensors that are no weights, in F32. */
  readonly constants: ReadonlyMap<string, Float32Array<ArrayBuffer>>
}

export interface WrittenTensor {
  readonly name: string
  readonly type: FileType
  readonly weights: number
  readonly bytes: number
  /** Root of the mean square of what the weights are off by, over that of the weights. */
  readonly error: number
}

export interface WriteProgress {
  readonly tensor: string
  /** Weights of all tensors. */
  readonly done: number
  readonly total: number
}

export interface WriteOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined
}

const countOf = ({ shape }: TypedTensor): number => shape.reduce((n, extent) => n * extent, 1)

/**
 * @returns what became of each tensor, and the file's size
 * @throws WeftError `quantize/number` for a tensor with what is no finite number or too large for its type, `cli/out`, and what reading throws; what
 * `signal` is aborted with
 */
export async function writeGguf(
  path: string,
  checkpoint: Pick<Checkpoint, "read">,
  { metadata, tensors, constants }: GgufFile,
  options: WriteOptions = {},
): Promise<{ readonly tensors: readonly WrittenTensor[]; readonly bytes: number }> {
  const small = [...constants].map(([name, { length, byteLength }]) => ({
    name,
    shape: [length],
    type: typeNumber("F32"),
    byteLength,
  }))
  const large = tensors.map((tensor) => ({
    name: tensor.name,
    shape: tensor.shape,
    type: typeNumber(tensor.type),
    byteLength: typeBytes(tensor.type, countOf(tensor)),
  }))
  const header = writeGgufHeader(metadata, [...small, ...large])
  const partial = `${path}.${process.pid}.part`
  const handle = await onDisk(path, () => openPartial(path, partial, header.size))
  try {
    await writeAll(path, handle, header.bytes, 0)
    for (const [i, bytes] of [...constants.values()].entries())
      await writeAll(path, handle, new Uint8Array(bytes.buffer), header.begins[i]!)
    const begins = header.begins.slice(small.length)
    const written = await writeTensors(path, handle, checkpoint, tensors, begins, options)
    // The last tensor's padding.
    await onDisk(path, () => handle.truncate(header.size))
    await onDisk(path, () => handle.sync())
    await handle.close()
    options.signal?.throwIfAborted()
    await onDisk(path, () => rename(partial, path))
    return { tensors: written, bytes: header.size }
  } catch (error) {
    await handle.close().catch(() => {})
    await rm(partial, { force: true })
    throw error
  }
}

/** Several rows are under way at a time, each to its place; when this ends, however it does, none is. */
async function writeTensors(
  path: string,
  handle: FileHandle,
  checkpoint: Pick<Checkpoint, "read">,
  tensors: readonly TypedTensor[],
  begins: readonly number[],
  { signal, onProgress }: WriteOptions,
): Promise<readonly WrittenTensor[]> {
  const total = tensors.reduce((n, tensor) => n + countOf(tensor), 0)
  const encoders = createEncoders(Math.ceil(total / chunkWeights))
  const sums = tensors.map(() => ({ error: 0, energy: 0 }))
  const queue: Promise<void>[] = []
  let done = 0
  const take = async (i: number, weights: Float32Array<ArrayBuffer>, at: number) => {
    const { length } = weights
    const { name, type } = tensors[i]!
    const encoded = await encoders.encode(type, weights)
    checkNumbers(name, type, encoded)
    await writeAll(path, handle, encoded.bytes, at)
    sums[i]!.error += encoded.error
    sums[i]!.energy += encoded.energy
    done += length
    onProgress?.({ tensor: name, done, total })
  }
  try {
    for (const [i, tensor] of tensors.entries()) {
      let at = begins[i]!
      for await (const weights of rowChunks(checkpoint, tensor)) {
        signal?.throwIfAborted()
        if (queue.length >= encoders.count) await queue.shift()
        const bytes = typeBytes(tensor.type, weights.length)
        const task = take(i, weights, at)
        // Whoever waits for it is told; until then nobody does.
        task.catch(() => {})
        queue.push(task)
        at += bytes
      }
    }
    await Promise.all(queue)
  } finally {
    await Promise.allSettled(queue)
    await encoders.close()
  }
  return tensors.map((tensor, i) => {
    const [count, { name, type }, { error, energy }] = [countOf(tensor), tensor, sums[i]!]
    const relative = energy === 0 ? 0 : Math.sqrt(error / energy)
    return { name, type, weights: count, bytes: typeBytes(type, count), error: relative }
  })
}

async function openPartial(path: string, partial: string, size: number): Promise<FileHandle> {
  const folder = dirname(resolve(path))
  await mkdir(folder, { recursive: true })
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < size)
    throw new WeftError(
      "cli/out",
      `${printable(path)} will have ${gigabytes(size)}, and ${gigabytes(bavail * bsize)} are free there`,
      { hint: "free some room, or name a file on another disk" },
    )
  return open(partial, "w")
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(3)} GB`

async function writeAll(path: string, handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await onDisk(path, () => handle.write(bytes, done, bytes.length - done, at + done))
    done += bytesWritten
  }
}

async function onDisk<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    throw new WeftError("cli/out", `${printable(path)} cannot be written: ${thrownText(cause)}`, {
      hint: "nothing of it is kept; free some room, or name a file elsewhere",
      cause,
    })
  }
}

function checkNumbers(name: string, type: FileType, { error, energy, wrong }: Encoded): void {
  if (Number.isFinite(energy) && Number.isFinite(error)) return
  const what = wrong === undefined ? `numbers that are too large for ${type}` : wrong
  throw new WeftError("quantize/number", `the tensor ${printable(name)} holds ${what}`, {
    hint: "the checkpoint is damaged, or its training went astray; there is no use in it in another type either",
  })
}
