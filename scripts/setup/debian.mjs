/** Packages of the system, where it is Debian and this is its root. */
import { access } from 'node:fs/promises'
import { runQuietly } from './steps.mjs'

/** Another program may hold Debian's package lock. */
const aptLockSeconds = 300

export async function isDebianRoot() {
  if (process.getuid?.() !== 0) return false
  const marks = ['/etc/debian_version', '/usr/bin/apt-get'].map((path) =>
    access(path).then(
      () => true,
      () => false,
    ),
  )
  return (await Promise.all(marks)).every(Boolean)
}

/** @param {readonly string[]} packages @throws SetupError with what apt-get said */
export async function aptInstall(packages) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const lock = ['-o', `DPkg::Lock::Timeout=${aptLockSeconds}`]
  await runQuietly('apt-get', [...lock, 'update', '-q'], { env })
  await runQuietly('apt-get', [...lock, 'install', '-y', '-q', '--no-install-recommends', ...packages], { env })
}
