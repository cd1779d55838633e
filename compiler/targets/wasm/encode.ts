/**
 * A binary encoder for WebAssembly modules: one imported memory, functions without results, every function exported.
 *
 *   const code = new Code(["i32", "i32"])            // two parameters: locals 0 and 1
 *   code.get(0).get(1).op("i32.add").drop()
 *   encodeModule({ functions: [{ name: "f", code }], memory: { shared: false } })
 *
 * Instructions are appended to a body as bytes; there is no tree of instructions. Operands follow the instruction as in the binary format.
 * The memory is imported as ("env", "memory") with a maximum of 65,536 pages in both variants, so that a shared module differs from an
 * unshared one in a single flag byte. A custom section `contractible` lists the multiplications whose products are added at once, and the
 * additions: an engine that has fused multiply-adds may be given them in place, for they are as long.
 */

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128"

const valueTypes: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b }

/** Instructions without immediates, by name; the high byte is the prefix. */
const plain = {
  ...names(0x45, "i32.", "eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"),
  ...names(0x5b, "f32.", "eq ne lt gt le ge"),
  ...names(0x61, "f64.", "eq ne lt gt le ge"),
  ...names(0x6a, "i32.", "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u"),
  ...{ "i64.mul": 0x7e, "i64.or": 0x84, "i64.shl": 0x86, "i64.shr_u": 0x88 },
  ...names(0x8b, "f32.", "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"),
  ...names(0x99, "f64.", "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"),
  ...{ "f32.convert_i32_s": 0xb2, "f32.convert_i32_u": 0xb3, "f32.demote_f64": 0xb6, "f64.promote_f32": 0xbb },
  ...{ "i64.extend_i32_u": 0xad, "f64.convert_i64_s": 0xb9 },
  ...{ "i32.reinterpret_f32": 0xbc, "f32.reinterpret_i32": 0xbe, select: 0x1b, drop: 0x1a, unreachable: 0x00 },
  ...names(0xfc00, "i32.", "trunc_sat_f32_s trunc_sat_f32_u"),
  ...{ "i8x16.swizzle": 0xfd0e, "i32x4.splat": 0xfd11, "f32x4.splat": 0xfd13 },
  ...names(0xfd37, "i32x4.", "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"),
  ...names(0xfd41, "f32x4.", "eq ne lt gt le ge"),
  ...names(0xfd4d, "v128.", "not and andnot or xor bitselect any_true"),
  ...names(0xfd67, "f32x4.", "ceil floor trunc nearest"),
  ...{ "i16x8.narrow_i32x4_u": 0xfd86, "i32x4.abs": 0xfda0, "i32x4.neg": 0xfda1, "i32x4.extend_low_i16x8_u": 0xfda9 },
  ...names(0xfdab, "i32x4.", "shl shr_s shr_u add"),
  ...{ "i32x4.sub": 0xfdb1, "i16x8.shl": 0xfd8b, "i32x4.dot_i16x8_s": 0xfdba },
  ...names(0xfdb5, "i32x4.", "mul min_s min_u max_s max_u"),
  ...{ "f32x4.abs": 0xfde0, "f32x4.neg": 0xfde1 },
  ...names(0xfde3, "f32x4.", "sqrt add sub mul div min max pmin pmax"),
  ...{ "i32x4.trunc_sat_f32x4_s": 0xfdf8, "i32x4.trunc_sat_f32x4_u": 0xfdf9 },
  ...{ "f32x4.convert_i32x4_s": 0xfdfa, "f32x4.convert_i32x4_u": 0xfdfb },
} as const

/** Instructions with a memory operand: code, log2 of the natural alignment. */
const memory = {
  "i32.load": [0x28, 2],
  "f32.load": [0x2a, 2],
  "i32.load16_u": [0x2f, 1],
  "i32.store": [0x36, 2],
  "f32.store": [0x38, 2],
  "i32.store16": [0x3b, 1],
  "v128.load": [0xfd00, 4],
  "v128.load16x4_u": [0xfd04, 3],
  "v128.load32_splat": [0xfd09, 2],
  "v128.store": [0xfd0b, 4],
  "v128.store32_lane": [0xfd5a, 2],
  "v128.store64_lane": [0xfd5b, 3],
  "v128.load32_zero": [0xfd5c, 2],
  "v128.load64_zero": [0xfd5d, 3],
} as const

const lanes = {
  "i32x4.extract_lane": 0xfd1b,
  "i32x4.replace_lane": 0xfd1c,
  "f32x4.extract_lane": 0xfd1f,
  "f32x4.replace_lane": 0xfd20,
} as const

export type Instruction = keyof typeof plain
export type MemoryInstruction = keyof typeof memory
export type LaneInstruction = keyof typeof lanes

type Split<S extends string> = S extends `${infer A} ${infer B}` ? A | Split<B> : S

function names<P extends string, S extends string>(from: number, prefix: P, list: S) {
  return Object.fromEntries(list.split(" ").map((name, i) => [prefix + name, from + i])) as Record<
    `${P}${Split<S>}`,
    number
  >
}

/** Unsigned LEB128. */
export function unsigned(value: number): number[] {
  const bytes: number[] = []
  let rest = value >>> 0
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>>= 7
  } while (rest !== 0)
  return bytes
}

/** Signed LEB128 of a 32-bit integer. */
export function signed(value: number): number[] {
  const bytes: number[] = []
  let rest = value | 0
  for (;;) {
    const byte = rest & 0x7f
    rest >>= 7
    const last = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)
    bytes.push(last ? byte : byte | 0x80)
    if (last) return bytes
  }
}

/** Signed LEB128 of a 64-bit integer. */
function signedLong(value: bigint): number[] {
  const bytes: number[] = []
  let rest = BigInt.asIntN(64, value)
  for (;;) {
    const byte = Number(rest & 0x7fn)
    rest >>= 7n
    const last = (rest === 0n && (byte & 0x40) === 0) || (rest === -1n && (byte & 0x40) !== 0)
    bytes.push(last ? byte : byte | 0x80)
    if (last) return bytes
  }
}

const scratch = new DataView(new ArrayBuffer(4))

function floatBytes(value: number): number[] {
  scratch.setFloat32(0, value, true)
  return [0, 1, 2, 3].map((i) => scratch.getUint8(i))
}

function integerBytes(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)
}

/** The body of a function under construction. */
export class Code {
  readonly parameters: readonly ValueType[]
  readonly locals: ValueType[] = []
  readonly bytes: number[] = []
  /** Places of an f32x4.mul and of the f32x4.add of its product to what is pushed after it. */
  readonly contractible: number[] = []

  constructor(parameters: readonly ValueType[]) {
    this.parameters = parameters
  }

  /** A new local. */
  local(type: ValueType): number {
    this.locals.push(type)
    return this.parameters.length + this.locals.length - 1
  }
  op(...instructions: Instruction[]): this {
    for (const name of instructions) this.code(plain[name])
    return this
  }
  get(local: number): this {
    this.bytes.push(0x20, ...unsigned(local))
    return this
  }
  set(local: number): this {
    this.bytes.push(0x21, ...unsigned(local))
    return this
  }
  tee(local: number): this {
    this.bytes.push(0x22, ...unsigned(local))
    return this
  }
  integer(value: number): this {
    this.bytes.push(0x41, ...signed(value))
    return this
  }
  float(value: number): this {
    this.bytes.push(0x43, ...floatBytes(value))
    return this
  }
  /** A 64-bit integer. */
  long(value: bigint): this {
    this.bytes.push(0x42, ...signedLong(value))
    return this
  }
  /** A float64. */
  double(value: number): this {
    this.bytes.push(0x44, ...new Uint8Array(new Float64Array([value]).buffer))
    return this
  }
  /** A v128 constant of four 32-bit integers. */
  integers(values: readonly number[]): this {
    this.code(0xfd0c)
    for (const value of values) this.bytes.push(...integerBytes(value))
    return this
  }
  /** A v128 constant of sixteen bytes. */
  sixteen(values: readonly number[]): this {
    this.code(0xfd0c).bytes.push(...values)
    return this
  }
  floats(values: readonly number[]): this {
    this.code(0xfd0c)
    for (const value of values) this.bytes.push(...floatBytes(value))
    return this
  }
  /** `offset` is the immediate, added without wrapping; `lane` for store…_lane. The alignment is a hint only. */
  memory(name: MemoryInstruction, offset: number, lane?: number): this {
    const [code, align] = memory[name]
    // The elements' alignment is stated.
    this.code(code).bytes.push(Math.min(align, 2), ...unsigned(offset))
    if (lane !== undefined) this.bytes.push(lane)
    return this
  }
  lane(name: LaneInstruction, lane: number): this {
    this.code(lanes[name]).bytes.push(lane)
    return this
  }
  /** Bytes of the result come from two vectors: 0–15 the first, 16–31 the second. */
  shuffle(bytes: readonly number[]): this {
    this.code(0xfd0d).bytes.push(...bytes)
    return this
  }
  /** The product of the two vectors on the stack, added to what `addend` pushes. */
  multiplyAdd(addend: () => void): this {
    const at = this.bytes.length
    this.op("f32x4.mul")
    addend()
    this.contractible.push(at, this.bytes.length)
    return this.op("f32x4.add")
  }
  block(): this {
    this.bytes.push(0x02, 0x40)
    return this
  }
  loop(): this {
    this.bytes.push(0x03, 0x40)
    return this
  }
  if(result?: ValueType): this {
    this.bytes.push(0x04, result === undefined ? 0x40 : valueTypes[result])
    return this
  }
  else(): this {
    this.bytes.push(0x05)
    return this
  }
  end(): this {
    this.bytes.push(0x0b)
    return this
  }
  branch(depth: number): this {
    this.bytes.push(0x0c, ...unsigned(depth))
    return this
  }
  branchIf(depth: number): this {
    this.bytes.push(0x0d, ...unsigned(depth))
    return this
  }
  private code(value: number): this {
    if (value > 0xff) this.bytes.push(value >> 8, ...unsigned(value & 0xff))
    else this.bytes.push(value)
    return this
  }
}

export interface ModuleFunction {
  readonly name: string
  readonly code: Code
}

/** The bytes of a module; functions have the types of their parameters and no result. */
export function encodeModule(module: {
  readonly functions: readonly ModuleFunction[]
  readonly memory: { readonly shared: boolean }
}): Uint8Array {
  const { functions } = module
  const signatures = [...new Set(functions.map((f) => f.code.parameters.join(" ")))]
  const types = signatures.map((s) => {
    const parameters = s === "" ? [] : (s.split(" ") as ValueType[])
    return [0x60, ...vector(parameters.map((p) => [valueTypes[p]])), 0]
  })
  const limits = [module.memory.shared ? 0x03 : 0x01, ...unsigned(0), ...unsigned(65536)]
  const bytes = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
  const section = (id: number, items: readonly (readonly number[])[]) => {
    const content = vector(items)
    bytes.push(id, ...unsigned(content.length))
    for (const byte of content) bytes.push(byte)
  }
  section(1, types)
  section(2, [[...text("env"), ...text("memory"), 0x02, ...limits]])
  section(
    3,
    functions.map((f) => unsigned(signatures.indexOf(f.code.parameters.join(" ")))),
  )
  section(
    7,
    functions.map((f, i) => [...text(f.name), 0x00, ...unsigned(i)]),
  )
  const bodies = functions.map((f) => body(f.code))
  section(10, bodies)
  // What is contractible is counted from the start of the module.
  const places: number[] = []
  let end = bytes.length
  for (const [i, content] of [...bodies.entries()].reverse()) {
    const { code } = functions[i]!
    places.unshift(...code.contractible.map((at) => end - 1 - code.bytes.length + at))
    end -= content.length
  }
  if (places.length > 0) {
    const steps = places.flatMap((at, i) => unsigned(at - (places[i - 1] ?? 0)))
    const content = [...text("contractible"), ...steps]
    bytes.push(0, ...unsigned(content.length))
    for (const byte of content) bytes.push(byte)
  }
  return new Uint8Array(bytes)
}

function body(code: Code): number[] {
  const runs: [number, ValueType][] = []
  for (const type of code.locals) {
    const last = runs.at(-1)
    if (last !== undefined && last[1] === type) last[0]++
    else runs.push([1, type])
  }
  const content = vector(runs.map(([count, type]) => [...unsigned(count), valueTypes[type]])).concat(code.bytes, 0x0b)
  return unsigned(content.length).concat(content)
}

function vector(items: readonly (readonly number[])[]): number[] {
  return unsigned(items.length).concat(...items)
}

const text = (s: string): number[] => {
  const bytes = new TextEncoder().encode(s)
  return [...unsigned(bytes.length), ...bytes]
}
