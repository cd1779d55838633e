/**
 * A program on a device: arrays in, arrays out. Page-safe: the caller brings the artifact and the device.
 *
 *     const program = await loadProgram(await response.json(), { device })
 *     const { length } = await program.run({ points: new Float32Array(3 * 1000) })     length.data, length.shape
 *
 * Extents that the program leaves open follow from the lengths of the arrays: 3000 numbers along [point, dim] of 3 are 1000 points.
 * Where they do not (an image of open height and width), the second argument names one: `run({ image }, { row: 480 })`.
 */
import type { Artifact, ArtifactArray, ArtifactTarget } from "./artifact.js"
import { extentAt } from "./artifact.js"
import { checkArtifact } from "./artifact-check.js"
import type { Device } from "./devices/device.js"
import { type ErrorCode, printable, WeftError } from "./errors.js"
import { fromHost, hostText } from "./host.js"
import { checkedOptions, createSession, type Session } from "./session.js"
import { type NumberArray, type Place, pack, reach, unpack } from "./strides.js"

export type { NumberArray } from "./strides.js"

type Arrays = Readonly<Record<string, NumberArray>>

export interface Output<Data extends NumberArray = NumberArray> {
  /** Row-major in the order of axes that the program declares; a bool is 0 or 1. */
  readonly data: Data
  readonly shape: readonly number[]
}

export interface RunningProgram<Inputs = Arrays, Outputs = Arrays> {
  readonly device: { readonly kind: ArtifactTarget; readonly description: string }
  readonly session: Session
  /**
   * Runs the program once. `sizes` gives symbols their values where the lengths of the inputs do not.
   *
   * Rejects with a WeftError: `program/input` (one is missing, unknown, or of another type), `program/size` (a length that does not fit the
   * axes, or an extent beyond its maximum), `program/busy` (a run is under way), `program/disposed`.
   */
  run(
    inputs: Inputs,
    sizes?: Readonly<Record<string, number>>,
  ): Promise<{ readonly [K in keyof Outputs]: Output<Outputs[K] & NumberArray> }>
  /** Frees the device's memory, and the device when the program owns it; may be called twice. */
  dispose(): void
  [Symbol.dispose](): void
}

export interface LoadProgramOptions {
  readonly device: Device
  /** Called once, after the session is disposed of. */
  readonly onDispose?: (() => void) | undefined
}

/**
 * Checks the artifact and makes its kernels ready.
 *
 * @throws WeftError `artifact/version`, `artifact/invalid`, `artifact/purpose` (a model that generates), and what `createSession` throws
 */
export async function loadProgram<Inputs = Arrays, Outputs = Arrays>(
  artifact: unknown,
  options: LoadProgramOptions,
): Promise<RunningProgram<Inputs, Outputs>> {
  const { device, onDispose } = checkedOptions(options)
  const checked = checkArtifact(artifact)
  if (checked.program === undefined)
    throw new WeftError("artifact/purpose", "the artifact holds a model that generates, not a program", {
      hint: "use load, with the weights of a checkpoint",
    })
  const session = await createSession(checked, device, { read: async () => noWeights() })
  return createProgram(session, checked.program, onDispose) as RunningProgram<Inputs, Outputs>
}

function noWeights(): never {
  throw new WeftError("artifact/invalid", "the artifact is not valid: a program has no weights")
}

function createProgram(
  session: Session,
  { inputs, outputs }: NonNullable<Artifact["program"]>,
  onDispose: (() => void) | undefined,
): RunningProgram {
  const { buffers, symbols } = session.artifact
  let state: "free" | "busy" | "disposed" = "free"

  const run = async (given: Arrays, sizes: Readonly<Record<string, number>> = {}) => {
    if (state !== "free")
      throw state === "disposed"
        ? new WeftError("program/disposed", "the program is disposed of")
        : new WeftError("program/busy", "the program is running; it does one thing at a time", {
            hint: "await the run before, or load the program twice",
          })
    for (const name of namesOf(given, "program/input", "the inputs"))
      if (!inputs.some((input) => input.name === name))
        throw new WeftError("program/input", `the program has no input ${printable(name)}`, {
          hint: `its inputs are ${inputs.map((input) => input.name).join(", ")}`,
        })
    const arrays = inputs.map((input) => ({ input, data: checkedArray(input, buffers[input.buffer]!.storage, given) }))
    const named = Object.fromEntries(
      namesOf(sizes, "program/size", "the sizes").map((name) => [
        name,
        fromHost("program/size", "a size cannot be read", () => sizes[name]!),
      ]),
    )
    const known = sizesOf(arrays, symbols, named)
    const placed = (array: ArtifactArray): readonly Place[] =>
      array.axes.map(({ name, extent, stride }) => {
        const value = extentAt(extent, (symbol) => known.get(symbol)!)
        if (value < 0)
          throw new WeftError("program/size", `'${array.name}' would have ${value} elements along '${name}'`, {
            hint: "give larger inputs",
          })
        return { extent: value, stride }
      })
    const wanted = outputs.map((output) => ({ output, places: placed(output) }))
    for (const { input, data } of arrays) session.write(buffers[input.buffer]!.name, pack(data, placed(input)))
    session.run(["run"], Object.fromEntries(known))
    state = "busy"
    try {
      const found = wanted.map(async ({ output, places }) => {
        const { name, storage } = buffers[output.buffer]!
        const elements = reach(places)
        const bytes = elements === 0 ? new Uint8Array() : await session.read(name, elements * 4)
        const memory = bytes.buffer as ArrayBuffer
        const whole = new arrayOf[storage as keyof typeof arrayOf](memory, bytes.byteOffset, elements)
        const data = fromHost("host/out-of-memory", `no memory for '${output.name}'`, () => unpack(whole, places))
        return [output.name, { data, shape: places.map((p) => p.extent) }] as const
      })
      return Object.fromEntries(await Promise.all(found))
    } finally {
      if (state === "busy") state = "free"
    }
  }

  const dispose = () => {
    if (state === "disposed") return
    state = "disposed"
    session.dispose()
    onDispose?.()
  }
  return { device: session.device, session, run, dispose, [Symbol.dispose]: dispose }
}

const arrayOf = { f32: Float32Array, i32: Int32Array, u32: Uint32Array, bool: Uint32Array } as const

/**
 * An array as the device takes it: of this realm, in memory that nobody else can change or take away. Others are copied.
 *
 * @throws WeftError `program/input` when it is of another type, or its memory has gone elsewhere
 */
function checkedArray({ name }: ArtifactArray, storage: string, given: Arrays): NumberArray {
  const wanted = arrayOf[storage as keyof typeof arrayOf]
  const data: unknown = fromHost("program/input", `the input '${name}' cannot be read`, () => given[name])
  const refuse = (found: string): never => {
    throw new WeftError("program/input", `the input '${name}' is ${found}; it is a ${wanted.name}`, {
      hint: `run({ ${name}: new ${wanted.name}(…), … })`,
    })
  }
  const kind = ArrayBuffer.isView(data) ? (arrayKind.call(data) ?? "DataView") : undefined
  if (kind === undefined) return refuse(data === undefined ? "missing" : hostText(data))
  if (kind !== wanted.name) return refuse(`a ${kind}`)
  const array = data as NumberArray
  if (!hasMemory(array)) return refuse("without its memory, which was transferred or has shrunk")
  const own = array instanceof wanted && array.buffer instanceof ArrayBuffer
  if (own && (array.buffer as { readonly resizable?: boolean }).resizable !== true) return array
  return new wanted(array)
}

const typedArray = Object.getPrototypeOf(Uint8Array.prototype)
/** The name of a typed array's type, whatever its realm. */
const arrayKind: () => string | undefined = Object.getOwnPropertyDescriptor(typedArray, Symbol.toStringTag)!.get!

function hasMemory(array: NumberArray): boolean {
  try {
    typedArray.indexOf.call(array, 0, array.length)
    return true
  } catch {
    return false
  }
}

/** The names in what a host gives for an object. */
function namesOf(given: unknown, code: ErrorCode, what: string): readonly string[] {
  if (typeof given !== "object" || given === null)
    throw new WeftError(code, `${what} are ${hostText(given)}, which is no object`)
  return fromHost(code, `${what} cannot be read`, () => Object.keys(given))
}

interface Given {
  readonly input: ArtifactArray
  readonly data: NumberArray
}

/** The values of the symbols: those that are named, then one after the other from the arrays in which one symbol alone is open. */
function sizesOf(
  arrays: readonly Given[],
  symbols: Artifact["symbols"],
  named: Readonly<Record<string, number>>,
): ReadonlyMap<string, number> {
  const known = new Map<string, number>()
  const settle = (symbol: string, value: number, from: string) => {
    const found = symbols.find((s) => s.name === symbol)
    if (found === undefined)
      throw new WeftError("program/size", `the program has no extent ${printable(symbol)}`, {
        hint: `it leaves open ${symbols.map((s) => s.name).join(", ") || "none"}`,
      })
    if (!Number.isInteger(value) || value < 0 || value > found.max)
      throw new WeftError(
        "program/size",
        `'${symbol}' is ${hostText(value)}${from}; it is a whole number up to ${found.max}`,
        {
          hint: `upTo(${found.max}) in the program is the largest extent that it is compiled for`,
        },
      )
    known.set(symbol, value)
  }
  for (const [symbol, value] of Object.entries(named)) settle(symbol, value, "")
  for (let before = -1; before < known.size; ) {
    before = known.size
    for (const given of arrays) {
      const open = openSymbols(given.input, known)
      if (new Set(open).size === 1) settle(open[0]!, solve(given, open.length, known), ` in '${given.input.name}'`)
    }
  }
  for (const given of arrays) {
    const [open] = openSymbols(given.input, known)
    if (open !== undefined)
      throw new WeftError("program/size", `${lengthOf(given)}, from which its extents do not follow`, {
        hint: `name one: run(inputs, { ${open}: … })`,
      })
    const wanted = product(given.input, known)
    if (wanted !== given.data.length)
      throw new WeftError("program/size", `${lengthOf(given)}; ${spelled(given.input, known)} takes ${wanted}`, {
        hint: "arrays are row-major, and an axis has one extent in all of them",
      })
  }
  const open = symbols.find((s) => !known.has(s.name))
  if (open !== undefined)
    throw new WeftError("program/size", `no input says how large '${open.name}' is`, {
      hint: `name it: run(inputs, { ${open.name}: … })`,
    })
  return known
}

/** The one symbol of an array that is open and stands `times` times among its axes. */
function solve(given: Given, times: number, known: ReadonlyMap<string, number>): number {
  const rest = product(given.input, known)
  const value = Math.round((given.data.length / rest) ** (1 / times))
  if (rest * value ** times === given.data.length) return value
  throw new WeftError("program/size", `${lengthOf(given)}, which do not fill ${spelled(given.input, known)}`, {
    hint: "arrays are row-major, one number for each place along the axes",
  })
}

const symbolOf = ({ extent }: ArtifactArray["axes"][number]): string | undefined =>
  typeof extent === "number" ? undefined : extent[0]?.symbols[0]
const openSymbols = ({ axes }: ArtifactArray, known: ReadonlyMap<string, number>): readonly string[] =>
  axes.flatMap((axis) => symbolOf(axis) ?? []).filter((symbol) => !known.has(symbol))
/** Of the extents that are known. */
const product = ({ axes }: ArtifactArray, known: ReadonlyMap<string, number>): number =>
  axes.reduce((n, { extent }) => n * extentAt(extent, (symbol) => known.get(symbol) ?? 1), 1)

const lengthOf = ({ input, data }: Given): string => `'${input.name}' has ${data.length} numbers`
/** `[point, dim: 3]`: the axes with the extents that are known. */
function spelled({ axes }: ArtifactArray, known: ReadonlyMap<string, number>): string {
  const list = axes.map((axis) => {
    const open = symbolOf(axis) !== undefined && !known.has(symbolOf(axis)!)
    return open ? axis.name : `${axis.name}: ${extentAt(axis.extent, (symbol) => known.get(symbol)!)}`
  })
  return `[${list.join(", ")}]`
}
