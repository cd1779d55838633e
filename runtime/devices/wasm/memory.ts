/**
 * One linear memory and a first-fit allocator over it: 64-byte alignment, neighbours merged when freed, zeroed on allocation.
 *
 *   const heap = new Heap(WebAssembly memory, reserved)     // the first `reserved` bytes belong to nobody
 *   const at = heap.allocate(1000, "weights")               // byte address; 1,024 bytes are taken
 *   heap.free(at)
 *
 * The memory grows when no hole fits, up to its maximum; a refusal says both numbers.
 */
import { WeftError } from "../../errors.js"

export const pageBytes = 65536
const alignment = 64

interface Hole {
  at: number
  bytes: number
}

export class Heap {
  readonly memory: WebAssembly.Memory
  /** In order of addresses; no two touch. */
  private readonly holes: Hole[] = []
  private readonly taken = new Map<number, number>()
  private readonly maximumBytes: number
  private end: number
  /** Bytes up to here have never been handed out, so that they are still zero. */
  private fresh: number

  constructor(memory: WebAssembly.Memory, reserved: number, maximumBytes: number) {
    this.memory = memory
    this.maximumBytes = maximumBytes
    this.end = memory.buffer.byteLength
    this.fresh = reserved
    if (this.end > reserved) this.holes.push({ at: reserved, bytes: this.end - reserved })
  }

  allocate(bytes: number, label: string): number {
    const size = Math.max(alignment, Math.ceil(bytes / alignment) * alignment)
    const hole = this.holes.find((h) => h.bytes >= size) ?? this.grow(size, label)
    const { at } = hole
    hole.at += size
    hole.bytes -= size
    if (hole.bytes === 0) this.holes.splice(this.holes.indexOf(hole), 1)
    this.taken.set(at, size)
    if (at < this.fresh) new Uint8Array(this.memory.buffer, at, Math.min(size, this.fresh - at)).fill(0)
    this.fresh = Math.max(this.fresh, at + size)
    return at
  }

  free(at: number): void {
    const bytes = this.taken.get(at)
    if (bytes === undefined) return
    this.taken.delete(at)
    const index = this.holes.findIndex((h) => h.at > at)
    this.holes.splice(index < 0 ? this.holes.length : index, 0, { at, bytes })
    for (let i = this.holes.length - 1; i > 0; i--) {
      const [before, after] = [this.holes[i - 1]!, this.holes[i]!]
      if (before.at + before.bytes !== after.at) continue
      before.bytes += after.bytes
      this.holes.splice(i, 1)
    }
  }

  private grow(size: number, label: string): Hole {
    const last = this.holes.at(-1)
    const tail = last !== undefined && last.at + last.bytes === this.end ? last : undefined
    const missing = size - (tail?.bytes ?? 0)
    const pages = Math.ceil(missing / pageBytes)
    const refuse = (cause?: unknown) =>
      new WeftError(
        "device/out-of-memory",
        `'${label}' needs ${size} bytes; with them the device would hold ${this.end + missing} bytes of at most ${this.maximumBytes}`,
        { hint: "use a smaller model or context, or the webgpu device: WebAssembly addresses 4 GiB at most", cause },
      )
    if (this.end + pages * pageBytes > this.maximumBytes) throw refuse()
    try {
      this.memory.grow(pages)
    } catch (cause) {
      throw refuse(cause)
    }
    const hole = tail ?? { at: this.end, bytes: 0 }
    if (tail === undefined) this.holes.push(hole)
    hole.bytes += pages * pageBytes
    this.end += pages * pageBytes
    return hole
  }
}
