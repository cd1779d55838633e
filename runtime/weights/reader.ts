/**
 * The bytes of an artifact's weights, out of the tensors that stand for them in a checkpoint.
 *
 *     F32, F16, BF16   as they are stored        F64   rounded to the nearest float32        BF16 as f16   where that is asked for
 *     a format         bytes of its planes, as the checkpoint gives them, with wider numbers, or with scales across
 */
import type { Artifact, ArtifactModel, ArtifactWeight } from "../artifact.js"
import { printable, WeftError } from "../errors.js"
import type { Checkpoint, StoredTensor } from "./checkpoint.js"
import { toFloat32 } from "./dtypes.js"
import { acrossFormat, acrossReader, alongName } from "./formats/across.js"
import { formatNamed } from "./formats/named.js"
import type { RangeReader } from "./formats/plane-reader.js"
import { narrowName, wideFormat, wideReader } from "./formats/wide.js"
import { findNames, type NameRules } from "./names.js"
import { narrower } from "./narrow.js"
import { matchParameters, type WeightTensor } from "./parameters.js"

const stored = { f32: ["F32", "F64"], f16: ["F16"], bf16: ["BF16"], u32: [] } as const
/** Bytes that are compared at a time. */
const blockBytes = 2 ** 24

/**
 * The checkpoint's tensors that an artifact's weights come from.
 *
 * @throws WeftError `checkpoint/parameters`
 */
export function artifactWeights(
  checkpoint: Pick<Checkpoint, "folder" | "tensors">,
  { weights, model = {} }: Pick<Artifact, "weights"> & { readonly model?: NameRules },
  onWarning?: (message: string) => void,
): ReadonlyMap<string, WeightTensor> {
  const expected = new Map(weights.map(({ tensor, shape }) => [tensor, { name: tensor, shape }]))
  const { ignore, alternatives } = model
  return matchParameters(checkpoint, [...expected.values()], { ignore, alternatives, onWarning })
}

/**
 * Reads weights as a session asks for them: offsets and lengths are those of the artifact's storage.
 *
 * @param narrows whether weights in bf16 are read for an artifact that takes f16: where that holds them (`narrow.ts`)
 * @throws WeftError `checkpoint/storage` when a tensor is not stored as the artifact takes it, or holds a double that no float32 is near;
 * `checkpoint/narrow` when it is narrowed and f16 does not hold it
 */
export function weightReader(
  checkpoint: Pick<Checkpoint, "read">,
  tensors: ReadonlyMap<string, WeightTensor>,
  narrows = false,
) {
  const narrowers = new Map<string, ReturnType<typeof narrower>>()
  const turners = new Map<string, RangeReader>()
  return async (
    { tensor, storage, shape, format }: ArtifactWeight,
    offset: number,
    length: number,
    into?: Uint8Array,
  ): Promise<Uint8Array> => {
    const found = tensors.get(tensor)
    if (found !== undefined && format !== undefined && found.dtype === format)
      return checkpoint.read(found, offset, length, into)
    const known = found === undefined || format === undefined ? undefined : formatNamed(found.dtype)
    const read: RangeReader = (...range) => checkpoint.read(found!, ...range)
    if (known !== undefined && wideFormat(known).name === format)
      return wideReader(known, shape, read)(offset, length, into)
    if (known !== undefined && acrossFormat(known).name === format) {
      const turned = turners.get(tensor) ?? acrossReader(known, shape, read)
      turners.set(tensor, turned)
      return turned(offset, length, into)
    }
    const formats: readonly string[] = format === undefined ? stored[storage] : [format]
    if (narrows && found?.dtype === "BF16" && storage === "f16") {
      const narrow = narrowers.get(tensor) ?? narrower(tensor, shape.at(-1)!)
      narrowers.set(tensor, narrow)
      return narrow(await checkpoint.read(found, offset, length), offset / 2)
    }
    if (found === undefined || !formats.includes(found.dtype)) {
      // As a checkpoint has it, however the device holds it.
      const taken = format === undefined ? formats[0] : (alongName(format) ?? narrowName(format) ?? format)
      throw new WeftError("checkpoint/storage", `${tensor} is ${found?.dtype}, the artifact takes ${taken}`, {
        hint: "compile the model for this checkpoint",
      })
    }
    if (found.dtype !== "F64") return checkpoint.read(found, offset, length, into)
    const bytes = await checkpoint.read(found, offset * 2, length * 2)
    const rounded = toFloat32("F64", bytes)
    const doubles = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const lost = rounded.findIndex(
      (value, i) => Math.abs(value) === Infinity && Number.isFinite(doubles.getFloat64(i * 8, true)),
    )
    if (lost >= 0)
      throw new WeftError(
        "checkpoint/storage",
        `${printable(found.name)} holds ${doubles.getFloat64(lost * 8, true)}, which is too large for float32`,
        { hint: "the weights are damaged, or need arithmetic in double precision" },
      )
    return new Uint8Array(rounded.buffer)
  }
}

/**
 * Compares what a checkpoint holds under two names of one weight.
 *
 * @throws WeftError `checkpoint/tied` when they differ: whichever the model takes, it would not be the one that was trained
 */
export async function checkTwins(
  checkpoint: Pick<Checkpoint, "folder" | "tensors" | "read">,
  { weights, model }: { readonly weights: readonly Pick<ArtifactWeight, "tensor">[]; readonly model?: ArtifactModel },
): Promise<void> {
  const { twins } = findNames([...new Set(weights.map(({ tensor }) => tensor))], checkpoint.tensors, model)
  for (const [name, twin] of twins) {
    const [a, b] = [checkpoint.tensors.get(name)!, checkpoint.tensors.get(twin)!]
    if (await same(checkpoint, a, b)) continue
    throw new WeftError(
      "checkpoint/tied",
      `${printable(checkpoint.folder)}: the model has one weight for ${printable(name)} and ${printable(twin)}, and they differ`,
      { hint: hintFor(name, twin) },
    )
  }
}

/** Names that end alike are one name with and without its first parts; others are those of a tied model. */
const hintFor = (name: string, twin: string) =>
  name.endsWith(`.${twin}`) || twin.endsWith(`.${name}`)
    ? "these are two names of one tensor; leave the one out that the model was not trained with"
    : "if both were trained, say so in config.json (tie_word_embeddings: false); else leave one out"

async function same({ read }: Pick<Checkpoint, "read">, a: StoredTensor, b: StoredTensor): Promise<boolean> {
  for (let at = 0; at < a.byteLength; at += blockBytes) {
    const length = Math.min(blockBytes, a.byteLength - at)
    const [x, y] = [words(await read(a, at, length)), words(await read(b, at, length))]
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false
  }
  return true
}

/** Bytes four at a time where they come to an end with it. */
function words(bytes: Uint8Array): Uint32Array | Uint8Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)
  return bytes.length % 4 === 0 ? new Uint32Array(aligned.buffer, aligned.byteOffset, bytes.length / 4) : aligned
}
