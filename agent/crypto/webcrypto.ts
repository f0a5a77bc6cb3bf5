import 'reflect-metadata'
import { Crypto } from '@peculiar/webcrypto'

/**
 * The provider that @peculiar/x509 signs and verifies with. @peculiar/webcrypto signs at once on the calling thread:
 * one RSA-2048 signature (about 1 ms) costs less than a trip to the thread pool behind two key generations, which take
 * 100 to 400 ms each on older Node. Keys are never generated with it, for the same reason.
 */
export const webcrypto = new Crypto()
