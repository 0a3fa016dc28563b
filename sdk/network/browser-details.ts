/**
 * Stands in webrtc-adapter's place in what is built for browsers (the vite configs say so): PeerJS asks it which browser this is. The
 * adapter itself would rewrite WebRTC in the whole page, a stranger's too, for browsers older than ours, and is most of PeerJS's weight.
 */
const kinds = { firefox: /Firefox\/(\d+)/, chrome: /Chrom(?:e|ium)\/(\d+)/, safari: /Version\/(\d+).*Safari\// } as const

function details(userAgent: string): { readonly browser: string; readonly version: number | null } {
  for (const [browser, pattern] of Object.entries(kinds)) {
    const version = pattern.exec(userAgent)?.[1]
    if (version !== undefined) return { browser, version: Number(version) }
  }
  return { browser: 'another', version: null }
}

export default { browserDetails: details(navigator.userAgent) }
