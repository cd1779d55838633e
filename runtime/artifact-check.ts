/**
 * Checks an artifact before anything of it is used: a file from a cache or the network is not trusted.
 *
 *     checkArtifact(JSON.parse(text))   →  Artifact, or WeftError: the artifact is not valid: entries.step.launches[3].kernel is 91; …
 *
 * Afterwards every number is an integer within its bounds, every reference leads somewhere, what a buffer holds fits into it and into its
 * slot, what a launch binds is as large as its kernel's reach, what is kept between steps shares its memory with nothing, no launch writes memory that it binds twice, and what a launch reads of
 * scratch memory is what was written for it.
 */
import { type Artifact, artifactVersion, extentAt, precisionNames, type StorageName, targetNames } from "./artifact.js"
import {
  base64,
  elements,
  type Fields,
  integer,
  list,
  mostBytes,
  mostCount,
  named,
  oneOf,
  record,
  text,
  within,
  wrong,
} from "./artifact-fields.js"
import { checkMemory } from "./artifact-memory.js"
import { printable, WeftError } from "./errors.js"
import { fromHost } from "./host.js"
import { formatBytes } from "./weights/formats/layout.js"
import { formatNamed } from "./weights/formats/named.js"

const storageBytes: Readonly<Record<StorageName, number>> = { f32: 4, i32: 4, u32: 4, bool: 4, bf16: 2, f16: 2 }
const roles: readonly string[] = ["weight", "constant", "state", "input", "output", "scratch"]
const accesses: readonly string[] = ["read", "write", "readwrite"]
const mostThreads = 1024
const mostGroups = 65535 ** 2
/** More than a block has on any GPU. */
const mostSharedBytes = 2 ** 20

/** @throws WeftError `artifact/version` for another format or version, `artifact/invalid` naming the place and what stands there */
export function checkArtifact(json: unknown): Artifact {
  return fromHost("artifact/invalid", "the artifact cannot be read", () => checkParts(json))
}

function checkParts(json: unknown): Artifact {
  const root = record(json, "the artifact")
  if (root.format !== "weft" || root.version !== artifactVersion)
    throw new WeftError("artifact/version", `this is not an artifact of version ${artifactVersion}`, {
      hint: "compile the model again with this version of Weft",
    })
  oneOf(root.target, targetNames, "target")
  oneOf(root.precision, precisionNames, "precision")
  base64(root.module, "module")
  if (root.program === undefined) checkModel(record(root.model, "model"))
  else if (root.model !== undefined) wrong("model", "there", "none beside a program")
  else checkProgram(record(root.program, "program"))
  named(list(root.symbols, "symbols"), "symbols", (s, at) => integer(s.max, 0, mostCount, `${at}.max`))
  for (const [i, slot] of list(root.slots, "slots").entries())
    integer(record(slot, `slots[${i}]`).bytes, 1, mostBytes, `slots[${i}].bytes`)
  named(list(root.buffers, "buffers"), "buffers", checkBuffer)
  named(list(root.kernels, "kernels"), "kernels", checkKernel)
  if (root.target === "cuda") checkCuda(root)
  else {
    absent(root, ["prelude", "modules"], "")
    for (const [i, k] of (root.kernels as readonly Fields[]).entries())
      absent(k, ["symbol", "sharedBytes", "early", "matrices"], `kernels[${i}].`)
  }
  for (const [name, entry] of Object.entries(record(root.entries, "entries")))
    for (const [i, launch] of list(record(entry, `entries.${name}`).launches, `entries.${name}.launches`).entries()) {
      const at = `entries.${name}.launches[${i}]`
      const { kernel, buffers, groups } = record(launch, at)
      integer(kernel, 0, mostCount, `${at}.kernel`)
      integer(groups, 1, mostGroups, `${at}.groups`)
      for (const [j, buffer] of list(buffers, `${at}.buffers`).entries())
        integer(buffer, 0, mostCount, `${at}.buffers[${j}]`)
    }
  for (const [i, w] of list(root.weights, "weights").entries()) checkWeight(record(w, `weights[${i}]`), `weights[${i}]`)
  for (const [i, c] of list(root.constants, "constants").entries()) {
    integer(record(c, `constants[${i}]`).buffer, 0, mostCount, `constants[${i}].buffer`)
  }
  const artifact = json as Artifact
  checkReferences(artifact)
  checkNeeds(artifact)
  checkVariants(artifact)
  checkArrays(artifact)
  checkMemory(artifact)
  return artifact
}

// Shapes of the parts.

function checkModel(model: Fields): void {
  text(model.family, "model.family")
  integer(model.context, 1, mostCount, "model.context")
  integer(model.chunk, 1, model.context as number, "model.chunk")
  integer(model.vocabulary, 1, mostCount, "model.vocabulary")
  for (const token of list(model.endTokens, "model.endTokens")) integer(token, 0, mostCount, "model.endTokens")
  const names = (value: unknown, at: string) => {
    for (const name of list(value, at)) text(name, at)
  }
  if (model.ignore !== undefined) names(model.ignore, "model.ignore")
  if (model.alternatives !== undefined)
    for (const others of Object.values(record(model.alternatives, "model.alternatives")))
      names(others, "model.alternatives")
}

function checkProgram(program: Fields): void {
  for (const role of ["inputs", "outputs"] as const)
    named(list(program[role], `program.${role}`), `program.${role}`, (array, at) => {
      integer(array.buffer, 0, mostCount, `${at}.buffer`)
      named(list(array.axes, `${at}.axes`), `${at}.axes`, (axis, along) => {
        integer(axis.stride, 0, mostBytes, `${along}.stride`)
        if (!Array.isArray(axis.extent)) return integer(axis.extent, 0, mostCount, `${along}.extent`)
        for (const [i, value] of axis.extent.entries()) {
          const term = record(value, `${along}.extent[${i}]`)
          integer(term.factor, -mostCount, mostCount, `${along}.extent[${i}].factor`)
          for (const s of list(term.symbols, `${along}.extent[${i}].symbols`)) text(s, `${along}.extent[${i}].symbols`)
        }
      })
    })
}

function checkBuffer(b: Fields, at: string): void {
  oneOf(b.role, roles, `${at}.role`)
  oneOf(b.storage, Object.keys(storageBytes), `${at}.storage`)
  integer(b.bytes, 0, mostBytes, `${at}.bytes`)
  integer(b.slot, 0, mostCount, `${at}.slot`)
  if (b.row !== undefined) integer(b.row, 0, b.bytes as number, `${at}.row`)
  const needed = elements(b.shape, `${at}.shape`) * storageBytes[b.storage as StorageName]
  if (!(needed <= (b.bytes as number))) wrong(`${at}.bytes`, b.bytes, `at least the ${needed} of its elements`)
  if (b.keeps === undefined) return
  const [room = 0] = b.shape as readonly number[]
  integer(b.keeps, 1, room, `${at}.keeps`)
  if (!((b.row as number) * room <= needed)) wrong(`${at}.row`, b.row, `the ${needed / room} of a row that goes round`)
}

function checkKernel(k: Fields, at: string): void {
  text(k.source, `${at}.source`)
  integer(k.threads, 1, mostThreads, `${at}.threads`)
  integer(k.scratch, 0, mostCount, `${at}.scratch`)
  if (k.proven !== undefined && k.proven !== true) wrong(`${at}.proven`, k.proven, "true, or nothing")
  for (const [i, value] of list(k.bindings, `${at}.bindings`).entries()) {
    const binding = record(value, `${at}.bindings[${i}]`)
    oneOf(binding.access, accesses, `${at}.bindings[${i}].access`)
    if (binding.bytes !== undefined || k.proven === true)
      integer(binding.bytes, 0, mostBytes, `${at}.bindings[${i}].bytes`)
  }
}

/** What only this target has: names of functions, shared memory, and binaries. */
function checkCuda({ prelude, modules = [], kernels }: Fields): void {
  text(prelude, "prelude")
  for (const [i, value] of list(modules, "modules").entries()) {
    const { arch, kind, base64: image } = record(value, `modules[${i}]`)
    if (!/^sm_[1-9][0-9]{1,2}[af]?$/.test(text(arch, `modules[${i}].arch`)))
      wrong(`modules[${i}].arch`, arch, "an architecture such as sm_90a")
    oneOf(kind, ["cubin", "ptx"], `modules[${i}].kind`)
    base64(image, `modules[${i}].base64`)
  }
  const symbols = new Set<string>()
  for (const [i, { symbol, sharedBytes, early, matrices = [], bindings }] of (kernels as readonly Fields[]).entries()) {
    const name = text(symbol, `kernels[${i}].symbol`)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || symbols.has(name))
      wrong(`kernels[${i}].symbol`, name, "the name of a function that stands once")
    symbols.add(name)
    integer(sharedBytes, 0, mostSharedBytes, `kernels[${i}].sharedBytes`)
    if (early !== undefined && early !== true) wrong(`kernels[${i}].early`, early, "true, or nothing")
    for (const [j, value] of list(matrices, `kernels[${i}].matrices`).entries())
      checkMatrix(record(value, `kernels[${i}].matrices[${j}]`), bindings as Bindings, `kernels[${i}].matrices[${j}]`)
  }
}

type Bindings = readonly { readonly access: string; readonly bytes?: number }[]

/** What the copy engine takes, of what the kernel reads. */
function checkMatrix(m: Fields, bindings: Bindings, at: string): void {
  integer(m.binding, 0, bindings.length - 1, `${at}.binding`)
  oneOf(m.storage, ["f32", "i32", "u32", "bf16", "f16"], `${at}.storage`)
  const bytes = storageBytes[m.storage as StorageName]
  integer(m.rows, 1, mostCount, `${at}.rows`)
  integer(m.stride, 1, mostCount, `${at}.stride`)
  integer(m.columns, 1, m.stride as number, `${at}.columns`)
  if (((m.stride as number) * bytes) % 16 !== 0) wrong(`${at}.stride`, m.stride, "rows of a multiple of 16 bytes")
  const [height, width, ...rest] = list(m.box, `${at}.box`)
  integer(height, 1, 256, `${at}.box[0]`)
  integer(width, 1, 256, `${at}.box[1]`)
  if (rest.length > 0 || ![32, 64, 128].includes((width as number) * bytes))
    wrong(`${at}.box`, `${String(width)} elements wide`, "rows of 32, 64 or 128 bytes")
  const { access, bytes: reach } = bindings[m.binding as number]!
  const end = (((m.rows as number) - 1) * (m.stride as number) + (m.columns as number)) * bytes
  if (access !== "read" || !(reach !== undefined && end <= reach))
    wrong(at, `up to byte ${end}`, "within what the kernel reads of its binding")
}

function absent(part: Fields, names: readonly string[], at: string): void {
  for (const name of names) if (part[name] !== undefined) wrong(`${at}${name}`, "there", "nothing but on cuda")
}

function checkWeight(w: Fields, at: string): void {
  integer(w.buffer, 0, mostCount, `${at}.buffer`)
  integer(w.offset, 0, mostBytes, `${at}.offset`)
  text(w.tensor, `${at}.tensor`)
  oneOf(w.storage, w.format === undefined ? ["f32", "bf16", "f16"] : ["f32", "bf16", "f16", "u32"], `${at}.storage`)
  elements(w.shape, `${at}.shape`)
  if (w.format !== undefined && formatNamed(text(w.format, `${at}.format`)) === undefined)
    wrong(`${at}.format`, w.format, "a format of weights that this runtime has")
  if (w.part === undefined && w.format === undefined) return
  const part = record(w.part, `${at}.part`)
  integer(part.begin, 0, mostBytes, `${at}.part.begin`)
  integer(part.end, 0, mostBytes, `${at}.part.end`)
}

// References, and what they lead to.

function checkReferences({ slots, buffers, weights, constants, kernels, entries }: Artifact): void {
  for (const [i, b] of buffers.entries()) within(b.slot, slots, `buffers[${i}].slot`)
  for (const [i, w] of weights.entries()) {
    const b = within(w.buffer, buffers, `weights[${i}].buffer`)
    const format = w.format === undefined ? undefined : formatNamed(w.format)
    const whole = format ? formatBytes(format, w.shape) : w.shape.reduce((n, s) => n * s, storageBytes[w.storage])
    const { begin, end: until } = w.part ?? { begin: 0, end: whole }
    if (!(begin < until || whole === 0) || until > whole)
      wrong(`weights[${i}].part`, `${begin} to ${until}`, `some of the ${whole} bytes of the tensor`)
    const end = w.offset + until - begin
    if (b.role !== "weight" || b.storage !== w.storage) wrong(`weights[${i}].buffer`, b.name, `a ${w.storage} weight`)
    if (end > b.bytes) wrong(`weights[${i}]`, `up to byte ${end}`, `within the ${b.bytes} bytes of its buffer`)
  }
  const filled = new Set<number>()
  for (const [i, c] of constants.entries()) {
    const b = within(c.buffer, buffers, `constants[${i}].buffer`)
    if (b.role !== "constant" || filled.has(c.buffer))
      wrong(`constants[${i}].buffer`, b.name, "a constant that nothing has filled")
    const bytes = base64(c.base64, `constants[${i}].base64`)
    const whole = elements(b.shape, `constants[${i}]`) * storageBytes[b.storage]
    if (bytes !== whole) wrong(`constants[${i}]`, `${bytes} bytes`, `the ${whole} of ${printable(b.name)}`)
    filled.add(c.buffer)
  }
  for (const [i, b] of buffers.entries())
    if (b.role === "constant" && !filled.has(i)) wrong("constants", `without ${b.name}`, "the values of each constant")
  for (const [name, { launches }] of Object.entries(entries))
    for (const [i, launch] of launches.entries()) {
      const at = `entries.${name}.launches[${i}]`
      const { bindings } = within(launch.kernel, kernels, `${at}.kernel`)
      if (launch.buffers.length !== bindings.length)
        wrong(`${at}.buffers`, `${launch.buffers.length} buffers`, `the ${bindings.length} that its kernel binds`)
      for (const [j, b] of launch.buffers.entries()) {
        const { role, bytes } = within(b, buffers, `${at}.buffers[${j}]`)
        const reach = bindings[j]!.bytes ?? 0
        if (reach > bytes) wrong(`${at}.buffers[${j}]`, `${bytes} bytes`, `the ${reach} that its kernel reaches`)
        if (bindings[j]!.access !== "read" && (role === "weight" || role === "constant"))
          wrong(`${at}.buffers[${j}]`, `a ${role}`, "something that a kernel may write")
      }
    }
}

/** Extents are of symbols that there are, and counts are counts. */
function checkNeeds({ symbols, entries }: Artifact): void {
  const names = symbols.map((s) => s.name)
  for (const [name, { needs = [] }] of Object.entries(entries))
    for (const [i, value] of list(needs, `entries.${name}.needs`).entries()) {
      const at = `entries.${name}.needs[${i}]`
      const need = record(value, at)
      integer(need.least, 1, mostCount, `${at}.least`)
      text(need.text, `${at}.text`)
      for (const [j, part] of list(need.extent, `${at}.extent`).entries()) {
        const term = record(part, `${at}.extent[${j}]`)
        integer(term.factor, -mostCount, mostCount, `${at}.extent[${j}].factor`)
        for (const s of list(term.symbols, `${at}.extent[${j}].symbols`)) oneOf(s, names, `${at}.extent[${j}].symbols`)
      }
    }
}

/** Largest values are of symbols that there are, and variants are of entries that are none. */
function checkVariants({ symbols, entries }: Artifact): void {
  for (const [name, { most, variantOf }] of Object.entries(entries)) {
    const own = most === undefined ? {} : record(most, `entries.${name}.most`)
    for (const [symbol, max] of Object.entries(own)) {
      const known = symbols.find((s) => s.name === symbol)
      if (known === undefined) wrong(`entries.${name}.most`, symbol, "a symbol of the artifact")
      else integer(max, 0, known.max, `entries.${name}.most.${symbol}`)
    }
    if (variantOf === undefined) continue
    const of = Object.hasOwn(entries, text(variantOf, `entries.${name}.variantOf`)) ? entries[variantOf] : undefined
    if (of === undefined || of.variantOf !== undefined)
      wrong(`entries.${name}.variantOf`, variantOf, "an entry that is no variant itself")
  }
}

/** The arrays of a program: each lies within its buffer at the largest sizes, and its sizes are symbols that there are. */
function checkArrays({ program, buffers, symbols, entries }: Artifact): void {
  if (program === undefined) return
  if (!Object.hasOwn(entries, "run")) wrong("entries", "without 'run'", "the entry 'run' of a program")
  const most = new Map(symbols.map((s) => [s.name, s.max]))
  for (const role of ["input", "output"] as const)
    for (const [i, { buffer, axes }] of program[`${role}s`].entries()) {
      const at = `program.${role}s[${i}]`
      const b = within(buffer, buffers, `${at}.buffer`)
      if (b.role !== role || storageBytes[b.storage] !== 4) wrong(`${at}.buffer`, b.name, `an ${role} of 4-byte values`)
      let last = 0
      for (const { extent, stride } of axes) {
        for (const symbol of typeof extent === "number" ? [] : extent.flatMap((term) => term.symbols))
          if (!most.has(symbol)) wrong(`${at}.axes`, symbol, "a symbol of the artifact")
        last += Math.max(0, extentAt(extent, (symbol) => most.get(symbol)!) - 1) * stride
      }
      const reach = (last + 1) * 4
      if (!(reach <= b.bytes)) wrong(at, `up to byte ${reach}`, `within the ${b.bytes} bytes of its buffer`)
    }
}
