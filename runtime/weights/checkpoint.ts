/**
 * A checkpoint as the rest of the runtime sees it: a config, named tensors that are read by ranges, and a few text files.
 *
 * Where the files are is the business of whoever assembles one (`folder.ts` in Node; a page may use memory or ranges of a URL).
 */

import { printable, WeftError } from "../errors.js"
import type { StoredType } from "./dtypes.js"
import type { FormatName } from "./formats/format.js"
import type { TensorInfo } from "./safetensors.js"
import { type ByteSource, checkRange } from "./source.js"

/** A tensor and the file that holds it. */
export interface StoredTensor extends Omit<TensorInfo, "dtype"> {
  /** How its bytes are to be read: numbers, or the planes of a format, one behind the other (`formats/layout.ts`). */
  readonly dtype: StoredType | FormatName
  /** Name of the file inside the checkpoint. */
  readonly file: string
  readonly byteLength: number
}

/** The text files that a checkpoint may carry, with the most bytes that are read of each. */
export const textFiles = {
  "tokenizer.json": 64_000_000,
  "tokenizer_config.json": 10_000_000,
  "special_tokens_map.json": 10_000_000,
  "added_tokens.json": 10_000_000,
  "chat_template.jinja": 10_000_000,
  "chat_template.json": 10_000_000,
} as const

export type TextFile = keyof typeof textFiles

export interface Checkpoint {
  /** What messages call it; in Node, the path that was opened. */
  readonly folder: string
  readonly config: Readonly<Record<string, unknown>>
  readonly generationConfig: Readonly<Record<string, unknown>> | undefined
  readonly tensors: ReadonlyMap<string, StoredTensor>
  /** A text file of the checkpoint, or `undefined` when it has none of that name. */
  readText(name: TextFile): Promise<string | undefined>
  /**
   * Bytes of a tensor: all of them, or `byteLength` from `byteOffset` inside the tensor. The caller must not write to them. They may have been
   * read into `into`, which has that length, and is what is returned then.
   *
   * @throws WeftError `checkpoint/range` outside the tensor, `checkpoint/truncated`, `checkpoint/unreadable`
   */
  read(tensor: StoredTensor, byteOffset?: number, byteLength?: number, into?: Uint8Array): Promise<Uint8Array>
  /** Closes the files; may be called twice. */
  close(): Promise<void>
}

export interface CheckpointParts
  extends Pick<Checkpoint, "folder" | "config" | "generationConfig" | "tensors" | "readText"> {
  /** The open files, by the `file` of their tensors; the checkpoint closes them. */
  readonly sources: ReadonlyMap<string, ByteSource>
}

/** A checkpoint over open files. */
export function assembleCheckpoint({ sources, ...parts }: CheckpointParts): Checkpoint {
  let closed: Promise<unknown> | undefined
  return {
    ...parts,
    async read(tensor, byteOffset = 0, byteLength = tensor.byteLength - byteOffset, into) {
      const source = sources.get(tensor.file)
      const name = `${parts.folder}: ${tensor.name}`
      if (closed || source === undefined || parts.tensors.get(tensor.name) !== tensor) {
        throw new WeftError(
          "checkpoint/range",
          closed ? `${printable(name)}: the checkpoint is closed` : `${printable(name)}: no tensor of this checkpoint`,
          { hint: "read tensors of `checkpoint.tensors`, before `close()`" },
        )
      }
      checkRange(name, tensor.byteLength, byteOffset, byteLength)
      return source.read(tensor.begin + byteOffset, byteLength, into)
    },
    async close() {
      closed ??= Promise.all([...sources.values()].map((source) => source.close()))
      await closed
    },
  }
}
