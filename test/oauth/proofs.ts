import { expect } from '@jest/globals';
import type { RecordedRequest } from 'nestjs-oauth-client/testing';
import { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } from 'jose';
import { createHash } from 'node:crypto';

/** A proof that was found right. */
export interface CheckedProof {
  jti: string;
  nonce: string | undefined;
  thumbprint: string;
  algorithm: string;
}

/** Checks DPoP proofs as a server does (RFC 9449 §4.3), and that none comes twice. */
export class ProofChecker {
  readonly proofs: CheckedProof[] = [];
  readonly #seen = new Set<string>();

  /** Of a request to `origin`; with the access token where there is one. */
  async check(origin: string, request: RecordedRequest, token?: string): Promise<CheckedProof> {
    const proof = request.headers['dpop'];
    if (typeof proof !== 'string') throw new Error('no proof, or several');
    const { protectedHeader, payload } = await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt' });
    const { alg, typ, jwk, ...more } = protectedHeader;
    expect({ typ, more }).toEqual({ typ: 'dpop+jwt', more: {} });
    expect(alg).toMatch(/^(RS|PS|ES)(256|384|512)$|^EdDSA$/);
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(jwk).not.toHaveProperty(secret);
    const { nonce, ...claims } = payload;
    expect(claims).toEqual({
      jti: expect.stringMatching(/^.{20,}$/),
      htm: request.method,
      htu: origin + request.url.replace(/\?.*/, ''),
      iat: expect.any(Number),
      ...(token !== undefined && { ath: createHash('sha256').update(token).digest('base64url') }),
    });
    expect(Math.abs(payload.iat! - Date.now() / 1000)).toBeLessThan(30);
    expect(this.#seen).not.toContain(payload.jti);
    this.#seen.add(payload.jti!);
    const thumbprint = await calculateJwkThumbprint(jwk!);
    const checked = { jti: payload.jti!, nonce: nonce as string | undefined, thumbprint, algorithm: alg };
    this.proofs.push(checked);
    return checked;
  }
}
