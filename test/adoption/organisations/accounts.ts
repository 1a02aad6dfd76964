import { Injectable } from '@nestjs/common';

/** How an organisation's account with the lab is kept. */
export interface LabAccount {
  clientId: string;
  clientSecret: string;
  apiURL: string;
}

/** Stands for the table of accounts. */
@Injectable()
export class LabAccounts {
  readonly rows = new Map<string, LabAccount>();

  async findOne(organisation: string): Promise<LabAccount | undefined> {
    return this.rows.get(organisation);
  }
}
