/**
 * Names of a page's and Node's own types that the package's declarations mention. Where a project has their declarations (the DOM,
 * @types/node, @webgpu/types) these add nothing to them; where it has not, the package's still hold.
 */
interface AbortSignal {
  readonly aborted: boolean
}
interface TextDecoder {
  readonly encoding: string
}
interface URL {
  readonly origin: string
}
interface Blob {
  readonly size: number
}
interface RequestInit {
  method?: string
}
interface Response {
  readonly status: number
}
interface GPUAdapterInfo {
  readonly vendor: string
}
interface GPUAdapter {
  readonly info: GPUAdapterInfo
}
interface SymbolConstructor {
  readonly dispose: unique symbol
}
