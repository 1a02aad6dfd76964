import { Injectable } from '@nestjs/common';

/** A clinic's account at the imaging archive. */
export interface ImagingAccount {
  clientId: string;
  clientSecret: string;
  /** Where its images are. */
  baseURL: string;
}

/** The clinics' accounts. They may change while the application runs; yours are in a database. */
@Injectable()
export class ImagingAccounts {
  readonly #accounts = new Map<string, ImagingAccount>();

  async find(clinic: string): Promise<ImagingAccount | undefined> {
    return this.#accounts.get(clinic);
  }

  has(clinic: string): boolean {
    return this.#accounts.has(clinic);
  }

  add(clinic: string, account: ImagingAccount): void {
    this.#accounts.set(clinic, account);
  }

  remove(clinic: string): void {
    this.#accounts.delete(clinic);
  }
}
